/* shelf.js - chats that the server keeps (/chats), each key its own.
 *
 * The list is read at once, a chat when it is opened. Each has a version (its ETag); whoever writes
 * says which one they changed, so a second tab or computer is never overwritten: what it wrote is
 * merged (tree.js), and written again. One write of a chat is under way at a time, and what changes
 * meanwhile goes with the next.
 */
import { deleteChat, listChats, readChat, writeChat } from "./api.js";
import { mergeChat, soundChat } from "./tree.js";

const MOST_TRIES = 8;
const versions = new Map(); /* id: ETag of what we have */
const writes = new Map(); /* id: { next: chat or null, promise } */

const stubOf = (s) => ({ id: s.id, title: s.title, created: s.updated, updated: s.updated, leaf: null, nodes: {}, isStub: true });
const tagOf = (version) => `"${version}"`;

/* All chats without their messages; `known` are those that we hold, which stay if they are the
 * newest. */
export async function list(key, known) {
  const found = [];
  for await (const s of listChats(key, "")) {
    const mine = known?.get(s.id);
    const isNewest = mine && !mine.isStub && (writes.has(s.id) || versions.get(s.id) === tagOf(s.version));
    found.push(isNewest ? mine : stubOf(s));
  }
  const ids = new Set(found.map((chat) => chat.id));
  for (const id of writes.keys()) if (!ids.has(id) && known?.has(id)) found.push(known.get(id)); /* not there yet */
  return found;
}

export async function search(key, words) {
  const ids = new Set();
  for await (const s of listChats(key, words)) ids.add(s.id);
  return ids;
}

/* With its messages, or null if it is gone. */
export async function load(key, id) {
  const found = await readChat(key, id);
  if (!found) return null;
  versions.set(id, found.tag);
  return soundChat(found.chat, id);
}

async function writeOnce(key, chat) {
  for (let i = 0; i < MOST_TRIES; i++) {
    try {
      versions.set(chat.id, await writeChat(key, chat, versions.get(chat.id)));
      return;
    } catch (e) {
      if (e.status !== 412) throw e;
    }
    const theirs = await readChat(key, chat.id);
    if (theirs) mergeChat(chat, soundChat(theirs.chat, chat.id));
    if (theirs) versions.set(chat.id, theirs.tag);
    else versions.delete(chat.id);
  }
  throw new Error("others are changing it again and again");
}

/* Resolves when what the chat is now has been kept. */
export function put(key, chat) {
  const under = writes.get(chat.id);
  if (under) {
    under.next = chat;
    return under.promise;
  }
  const mine = { next: chat };
  writes.set(chat.id, mine);
  mine.promise = (async () => {
    try {
      while (mine.next) {
        const now = mine.next;
        mine.next = null;
        await writeOnce(key, now);
      }
    } finally {
      writes.delete(chat.id);
    }
  })();
  return mine.promise;
}

export async function remove(key, id) {
  await writes.get(id)?.promise.catch(() => {});
  versions.delete(id);
  await deleteChat(key, id);
}
