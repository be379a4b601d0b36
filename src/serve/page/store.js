/* store.js - where chats are kept: by the server if it has a store and the user did not choose
 * otherwise (shelf.js), else in the browser's IndexedDB; and settings, in localStorage.
 *
 * The browser's chats are read once and then live in memory; each change writes its chat whole. A browser that
 * keeps nothing (private windows, storage switched off) still chats: `isKept` is false then, and
 * the page says so. The API key is written only when the user ticked that.
 */
import * as shelf from "./shelf.js";

const SETTINGS = "cria.settings";
let db = null;
let channel = null;
export let isKept = false;
export let isShared = false; /* the server keeps them */
let key = "";

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
const chats = (mode) => db.transaction("chats", mode).objectStore("chats");

/* Returns all chats, those of a server without their messages (isStub). `onOther(id)` hears of
 * changes that another tab made in the browser's. */
export async function openStore(onOther, usesServer, serverKey) {
  const inBrowser = await openBrowser(onOther);
  isShared = usesServer;
  key = serverKey;
  return usesServer ? shelf.list(key) : inBrowser;
}

/* Chats of the browser that a server could keep. */
export const readBrowser = () => (db ? done(chats("readonly").getAll()) : []);
export const removeFromBrowser = (id) => done(chats("readwrite").delete(id));

/* What others changed on the server since; `known` as in shelf.list(). */
export const refresh = (known) => shelf.list(key, known);
/* The ids of chats on the server that have the words. */
export const search = (words) => shelf.search(key, words);

async function openBrowser(onOther) {
  if (db) return readBrowser();
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
  if (isShared) return shelf.put(key, chat);
  if (!db) return;
  await done(chats("readwrite").put(chat));
  channel.postMessage(chat.id);
}

export async function removeChat(id) {
  if (isShared) return shelf.remove(key, id);
  if (!db) return;
  await done(chats("readwrite").delete(id));
  channel.postMessage(id);
}

export const getChat = (id) => (isShared ? shelf.load(key, id) : done(chats("readonly").get(id)));

/* ---- settings ---- */
const defaults = { system: "", temperature: "", top_p: "", min_p: "", top_k: "", max_tokens: "", seed: "", model: "", theme: "", key: "", keepsKey: false, usesSources: true, browserOnly: false };

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
