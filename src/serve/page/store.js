/* store.js - what the browser keeps: chats in IndexedDB, settings in localStorage.
 *
 * Chats are read once and then live in memory; each change writes its chat whole. A browser that
 * keeps nothing (private windows, storage switched off) still chats: `isKept` is false then, and
 * the page says so. The API key is written only when the user ticked that.
 */
const SETTINGS = "cria.settings";
let db = null;
let channel = null;
export let isKept = false;

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
const chats = (mode) => db.transaction("chats", mode).objectStore("chats");

/* Returns all chats. `onOther(id)` hears of changes that another tab made. */
export async function openStore(onOther) {
  try {
    const request = indexedDB.open("cria", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("chats", { keyPath: "id" });
    db = await done(request);
    isKept = true;
    channel = new BroadcastChannel("cria");
    channel.onmessage = (event) => onOther(event.data);
    return await done(chats("readonly").getAll());
  } catch {
    db = null;
    isKept = false;
    return [];
  }
}

/* Throws when the disk is full. */
export async function putChat(chat) {
  if (!db) return;
  await done(chats("readwrite").put(chat));
  channel.postMessage(chat.id);
}

export async function removeChat(id) {
  if (!db) return;
  await done(chats("readwrite").delete(id));
  channel.postMessage(id);
}

export const getChat = (id) => done(chats("readonly").get(id));

/* ---- settings ---- */
const defaults = { system: "", temperature: "", top_p: "", max_tokens: "", seed: "", model: "", theme: "", key: "", keepsKey: false, usesSources: true };

export function readSettings() {
  let kept = null;
  try {
    kept = JSON.parse(localStorage.getItem(SETTINGS));
  } catch {
    /* nothing is kept, or not by us */
  }
  const s = { ...defaults };
  for (const name of Object.keys(defaults)) if (typeof kept?.[name] === typeof defaults[name]) s[name] = kept[name];
  return s;
}

export function writeSettings(s) {
  try {
    localStorage.setItem(SETTINGS, JSON.stringify({ ...s, key: s.keepsKey ? s.key : "" }));
  } catch {
    /* they hold until the tab closes */
  }
}
