/* page.js - the chat page: what the buttons do.
 *
 * State is three things: the chats (in memory, each written to the store when it changes), the
 * chat that is open, and the answers that are being written (one a chat). An answer goes on while
 * another chat is open. Screen readers hear that an answer began and then its whole text, not its
 * tokens.
 *
 * Not here: how things look (view.js), what a chat is (tree.js), where it is kept (store.js), how
 * the server is asked (api.js). Begin reading at start().
 */
import { listModels, shareChat, streamChat, unshareChat } from "./api.js";
import { wireDocuments } from "./documents.js";
import { showSource, sourceOf } from "./sources.js";
import * as store from "./store.js";
import { addNode, cleanChat, newChat, pathTo, showBranch, siblings } from "./tree.js";
import { $, announce, fillMessage, make, makeEditor, makeMessage, showList, toast } from "./view.js";

const EXAMPLES = ["Explain how a rainbow forms, in three sentences.", "Write a C function that reverses a string in place.", "Compare tea and coffee in a small table."];
const SAVE_MS = 1000; /* how often an answer is kept while it is written, */
const SHARED_SAVE_MS = 5000; /* by the server */
const MAX_IMPORT_BYTES = 64 << 20;

const settings = store.readSettings();
const chats = new Map();
const runs = new Map(); /* chat id: { node, controller } */
let open = newChat();
let features = {}; /* what the server can do besides */
let hits = null; /* ids of the server's chats that have the words of the search */
let searching = 0;

/* ---- showing ---- */

const byTime = () => [...chats.values()].sort((a, b) => b.updated - a.updated);
const refreshList = () => showList(byTime(), open.id, $("search").value, hits);

/* A server's chats are searched there, as their messages are not here. */
function searchChats() {
  clearTimeout(searching);
  hits = null;
  refreshList();
  const words = $("search").value.trim();
  if (!store.isShared || !words) return;
  searching = setTimeout(async () => {
    try {
      const found = await store.search(words);
      if ($("search").value.trim() === words) hits = found;
      refreshList();
    } catch (e) {
      toast(e.message);
    }
  }, 200);
}

function refreshControls() {
  const isRunning = runs.has(open.id);
  const isNew = !chats.has(open.id);
  $("stop").hidden = !isRunning;
  $("send").hidden = isRunning;
  $("send").disabled = !$("input").value.trim();
  $("title").value = open.title;
  $("title").placeholder = "New chat";
  $("title").disabled = $("more").disabled = isNew;
  $("more").hidden = isNew;
  document.title = open.title ? `${open.title} - Cria` : "Cria";
}

function showChat() {
  const path = pathTo(open, open.leaf);
  const running = runs.get(open.id)?.node;
  $("messages").replaceChildren(...path.map((n) => makeMessage(open, n, n === running)));
  $("hints").hidden = path.length > 0;
  refreshControls();
  refreshList();
}

const isAtEnd = () => $("scroll").scrollHeight - $("scroll").scrollTop - $("scroll").clientHeight < 60;
const toEnd = () => ($("scroll").scrollTop = $("scroll").scrollHeight);

/* Its messages are here then; null if it is gone. */
async function whole(chat) {
  if (!chat?.isStub) return chat;
  try {
    const loaded = await store.getChat(chat.id);
    if (loaded) chats.set(chat.id, loaded);
    else chats.delete(chat.id);
    if (!loaded) toast(`"${chat.title}" is gone: it was deleted elsewhere.`), refreshList();
    return loaded;
  } catch (e) {
    toast(`"${chat.title}" cannot be read: ${e.message}`);
    return null;
  }
}

async function openFromList(id) {
  const chat = await whole(chats.get(id));
  if (chat) openChat(chat);
}

function openChat(chat) {
  open = chat;
  location.hash = chats.has(chat.id) ? chat.id : "";
  showChat();
  toEnd();
  showSidebar(false);
}

async function keep(chat) {
  chats.set(chat.id, chat);
  try {
    await store.putChat(chat);
  } catch (e) {
    toast(store.isShared ? `This chat could not be kept: ${e.message}` : "The browser could not keep this chat; export it, or delete old ones.");
  }
}

/* ---- asking ---- */

function requestOf(chat, node) {
  /* an answer that failed or was stopped before its first word was none */
  const messages = pathTo(chat, node.parent).filter((n) => n.content).map(({ role, content }) => ({ role, content }));
  if (settings.system.trim()) messages.unshift({ role: "system", content: settings.system });
  const body = { messages };
  for (const name of ["temperature", "top_p", "min_p", "top_k", "max_tokens", "seed"]) if (settings[name] !== "") body[name] = Number(settings[name]);
  if ($("model").value) body.model = $("model").value;
  if (settings.usesSources && !$("use-sources").hidden) body.sources = true;
  return body;
}

/* Draws the answer at most once a frame, and less often when drawing takes long. */
function makePainter(chat, node) {
  let due = 0;
  const paint = () => {
    due = 0;
    const el = open === chat && $("messages").querySelector(`[data-id="${node.id}"]`);
    if (!el) return;
    const sticks = isAtEnd();
    fillMessage(el, chat, node, runs.get(chat.id)?.node === node);
    if (sticks) toEnd();
  };
  return {
    soon: () => { if (!due) due = setTimeout(paint, Math.min(400, 40 + node.content.length / 200)); },
    now: () => { clearTimeout(due); paint(); },
  };
}

async function readAnswer(chat, node, controller, painter) {
  const begun = performance.now();
  let first = 0, kept = begun;
  for await (const event of streamChat(requestOf(chat, node), settings.key, controller.signal)) {
    const now = performance.now();
    if (event.text) {
      first ||= now;
      node.content += event.text;
      painter.soon();
    }
    for (const a of event.annotations ?? []) {
      const source = sourceOf(a);
      if (source) (node.sources ??= []).push(source);
    }
    if (event.finish) node.finish = event.finish;
    if (event.usage) node.figures = figuresOf(event.usage, begun, first, now);
    if (now - kept > (store.isShared ? SHARED_SAVE_MS : SAVE_MS)) {
      kept = now;
      keep(chat);
    }
  }
}

/* The speed is that of writing: tokens behind the first one over the time they took. */
function figuresOf(usage, begun, first, now) {
  const tokens = usage.completion_tokens;
  return {
    tokens,
    prompt: usage.prompt_tokens,
    cached: usage.prompt_tokens_details?.cached_tokens ?? 0,
    perSecond: first && tokens > 1 && now > first ? ((tokens - 1) * 1000) / (now - first) : undefined,
    firstS: first ? (first - begun) / 1000 : undefined,
  };
}

/* Asks for an answer under `parent`, a question of `chat`. */
async function answer(chat, parent) {
  const node = addNode(chat, parent, "assistant", "");
  const controller = new AbortController();
  const painter = makePainter(chat, node);
  node.model = $("model").value;
  node.state = "stopped"; /* what a reload in between will find */
  runs.set(chat.id, { node, controller });
  keep(chat); /* a slow disk delays nobody */
  if (open === chat) showChat(), toEnd();
  announce("Answering");
  try {
    await readAnswer(chat, node, controller, painter);
    delete node.state;
  } catch (e) {
    if (e.name !== "AbortError") {
      delete node.state;
      node.fault = e.message;
      if (e.status === 401) openSettings("set-key");
    }
  }
  runs.delete(chat.id);
  chat.updated = Date.now();
  keep(chat);
  painter.now();
  refreshControls();
  refreshList();
  announce(node.fault ?? `Answer: ${node.content}`);
}

function ask(chat, parent, text) {
  if (runs.has(chat.id) || !text.trim()) return;
  const question = addNode(chat, parent, "user", text.trim());
  chats.set(chat.id, chat);
  if (open === chat) location.hash = chat.id;
  answer(chat, question.id);
}

function send() {
  const text = $("input").value;
  if (!text.trim() || runs.has(open.id)) return;
  $("input").value = "";
  growInput();
  ask(open, open.leaf, text);
}

function stop() {
  runs.get(open.id)?.controller.abort();
  $("input").focus();
}

function growInput() {
  const el = $("input");
  el.style.height = "auto";
  el.style.height = `${el.scrollHeight}px`;
  $("send").disabled = !el.value.trim();
}

/* ---- what a message's buttons do ---- */

async function copy(el, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    toast("The browser does not let this page copy; it may do so on localhost and https alone.");
    return;
  }
  const label = el.textContent;
  el.textContent = "Copied";
  setTimeout(() => (el.textContent = label), 1500);
  announce("Copied");
}

function step(node, by) {
  const all = siblings(open, node);
  showBranch(open, all[all.indexOf(node) + by].id);
  keep(open);
  showChat();
}

function saveEdit(article, node) {
  const text = article.querySelector("textarea").value;
  if (text.trim() && text.trim() !== node.content) ask(open, node.parent, text);
  else showChat();
  $("input").focus();
}

const ACTS = {
  copy: (el, node) => copy(el, node.content),
  "copy-code": (el) => copy(el, el.closest("figure").querySelector("pre").textContent),
  source: (el, node) => showSource(node, Number(el.dataset.number), settings.key),
  edit: (el, node) => runs.has(open.id) || makeEditor(el.closest("article"), node),
  "save-edit": (el, node) => saveEdit(el.closest("article"), node),
  "cancel-edit": () => { showChat(); $("input").focus(); },
  again: (el, node) => { if (!runs.has(open.id)) answer(open, node.parent), $("input").focus(); },
  back: (el, node) => runs.has(open.id) || step(node, -1),
  next: (el, node) => runs.has(open.id) || step(node, 1),
};

function onMessageClick(event) {
  const el = event.target.closest("[data-act]");
  const node = open.nodes[el?.closest("article")?.dataset.id];
  if (node) ACTS[el.dataset.act]?.(el, node);
}

function onEditKey(event) {
  if (event.target.localName !== "textarea") return;
  const act = event.key === "Escape" ? "cancel-edit" : event.key === "Enter" && (event.ctrlKey || event.metaKey) ? "save-edit" : null;
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  event.target.closest("article").querySelector(`[data-act="${act}"]`).click();
}

/* ---- chats: delete, rename, export, import ---- */

async function deleteOpen() {
  const gone = open;
  runs.get(gone.id)?.controller.abort();
  chats.delete(gone.id);
  openChat(newChat());
  try {
    await store.removeChat(gone.id);
  } catch (e) {
    chats.set(gone.id, gone);
    refreshList();
    return toast(`It could not be deleted: ${e.message}`);
  }
  $("input").focus();
  toast(`Deleted "${gone.title}".`, "Undo", async () => {
    await keep(gone);
    openChat(gone);
  });
}

function rename() {
  const title = $("title").value.trim();
  if (!chats.has(open.id) || title === open.title) return;
  open.title = title || "Untitled";
  keep(open);
  showChat();
}

function save(name, value) {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(new Blob([JSON.stringify(value, null, 1)], { type: "application/json" }));
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
}

async function shareOpen() {
  const id = open.id;
  try {
    await keep(open);
    const link = await shareChat(settings.key, id);
    const isCopied = await navigator.clipboard?.writeText(link).then(() => true, () => false);
    toast(isCopied ? "The link is copied: it shows this chat as it is now to whoever has it." : link, "Revoke", () => unshare(id));
  } catch (e) {
    toast(`There is no link: ${e.message}`);
  }
}

async function unshare(id) {
  try {
    toast((await unshareChat(settings.key, id)) ? "The link shows nothing any more." : "This chat has no link.");
  } catch (e) {
    toast(`The link is still there: ${e.message}`);
  }
}

async function exportChats(some) {
  const list = [];
  for (const chat of some) {
    const all = await whole(chat);
    if (all) list.push(all);
  }
  if (!list.length) return toast("There is no chat to export.");
  const day = new Date().toISOString().slice(0, 10);
  save(`cria-chats-${day}.json`, { format: "cria-chats", version: 1, exported: new Date().toISOString(), chats: list });
}

async function importFile(file) {
  try {
    if (file.size > MAX_IMPORT_BYTES) throw new Error("it is larger than 64 MB");
    const data = JSON.parse(await file.text());
    if (data?.format !== "cria-chats" || data.version !== 1 || !Array.isArray(data.chats)) throw new Error("it is no file of chats that this page exported");
    const list = data.chats.map(cleanChat);
    for (const chat of list) await keep(chat);
    toast(`Imported ${list.length} ${list.length === 1 ? "chat" : "chats"}.`);
    refreshList();
  } catch (e) {
    toast(`Nothing was imported from ${file.name}: ${e instanceof SyntaxError ? "it is not JSON" : e.message}.`);
  }
}

/* ---- settings ---- */

const FIELDS = ["system", "temperature", "top_p", "min_p", "top_k", "max_tokens", "seed", "key", "theme"];

function openSettings(focus) {
  for (const name of FIELDS) $(`set-${name}`).value = settings[name];
  $("set-keep").checked = settings.keepsKey;
  $("set-browser").checked = settings.browserOnly;
  $("set-browser").parentElement.hidden = !features.chats;
  showSidebar(false);
  if (!$("settings").open) $("settings").showModal();
  if (focus) $(focus).focus();
}

function closeSettings() {
  if ($("settings").returnValue !== "save") return;
  const hadKey = settings.key;
  const wasBrowserOnly = settings.browserOnly;
  for (const name of FIELDS) settings[name] = $(`set-${name}`).value.trim();
  settings.keepsKey = $("set-keep").checked;
  settings.browserOnly = $("set-browser").checked;
  store.writeSettings(settings);
  applyTheme();
  if (settings.key !== hadKey) loadModels().then(openChats);
  else if (settings.browserOnly !== wasBrowserOnly) openChats();
  /* Chromium gives the focus back while the field is inert still, and then takes no keys */
  $("input").blur();
  setTimeout(() => $("input").focus(), 100);
}

function showSourcesButton() {
  $("use-sources").setAttribute("aria-pressed", String(settings.usesSources));
}

function toggleSources() {
  settings.usesSources = !settings.usesSources;
  store.writeSettings(settings);
  showSourcesButton();
  announce(settings.usesSources ? "Answers come from the documents of this server" : "Answers come from the model alone");
}

/* A document was added: who adds one means to ask about it. */
function onDocument() {
  if (!settings.usesSources) toggleSources();
}

function applyTheme() {
  if (settings.theme) document.documentElement.dataset.theme = settings.theme;
  else delete document.documentElement.dataset.theme;
}

async function loadModels() {
  try {
    const list = await listModels(settings.key);
    const models = list.models;
    features = list.features;
    $("use-sources").hidden = !features.sources;
    $("add-document").hidden = !features.uploads;
    $("model").replaceChildren(...models.map((m) => Object.assign(make("option", "", m.name), { value: m.id })));
    if (models.some((m) => m.id === settings.model)) $("model").value = settings.model;
    $("hint-model").textContent = `${$("model").selectedOptions[0]?.textContent ?? "The model"} answers, on this server.`;
  } catch (e) {
    $("hint-model").textContent = e.message;
    if (e.status === 401) openSettings("set-key");
  }
}

/* ---- the frame ---- */

function showSidebar(isOpen) {
  $("sidebar").classList.toggle("open", isOpen);
  $("shade").hidden = !isOpen;
  $("open-sidebar").setAttribute("aria-expanded", String(isOpen));
  if (isOpen) $("close-sidebar").focus();
}

function onInputKey(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
}

function onKey(event) {
  if (event.key !== "Escape" || $("settings").open || $("source").open) return;
  if ($("sidebar").classList.contains("open")) {
    showSidebar(false);
    $("open-sidebar").focus();
  } else if (runs.has(open.id)) {
    stop();
  }
}

async function onOtherTab(id) {
  if (runs.has(id) || store.isShared) return;
  const chat = await store.getChat(id);
  if (chat) chats.set(id, chat);
  else chats.delete(id);
  if (open.id === id && chat) open = chat, showChat();
  else refreshList();
}

/* Somebody comes back to this tab: what did others write meanwhile? */
async function onVisible() {
  if (document.visibilityState !== "visible" || !store.isShared) return;
  try {
    const found = await store.refresh(chats);
    const running = [...runs.keys()].filter((id) => chats.has(id)).map((id) => chats.get(id));
    chats.clear();
    for (const chat of [...found, ...running]) chats.set(chat.id, chat);
  } catch {
    return; /* it will say so when something is asked for */
  }
  if (!runs.has(open.id) && chats.get(open.id)?.isStub && !$("messages").querySelector("textarea")) {
    const chat = await whole(chats.get(open.id));
    if (chat) open = chat, showChat();
  } else {
    refreshList();
  }
}

/* Chats that lie in this browser while the server keeps the others. */
async function offerMove() {
  const list = store.isShared ? await store.readBrowser() : [];
  $("move-chats").hidden = list.length === 0;
  $("move-chats").textContent = `Move ${list.length} ${list.length === 1 ? "chat" : "chats"} from this browser to the server`;
}

async function moveChats() {
  let n = 0;
  try {
    for (const chat of await store.readBrowser()) {
      await store.putChat(chat); /* one of the same id is merged */
      await store.removeFromBrowser(chat.id);
      chats.set(chat.id, chat);
      n++;
    }
    toast(`Moved ${n} ${n === 1 ? "chat" : "chats"}.`);
  } catch (e) {
    toast(`${n} moved; the others are still in this browser: ${e.message}`);
  }
  refreshList();
  offerMove();
}

const on = (id, type, fn) => $(id).addEventListener(type, fn);

function wireChats() {
  on("new-chat", "click", () => { openChat(newChat()); $("input").focus(); });
  on("search", "input", searchChats);
  on("chats", "click", (e) => { const row = e.target.closest("[data-id]"); if (row) openFromList(row.dataset.id); });
  on("move-chats", "click", moveChats);
  document.addEventListener("visibilitychange", onVisible);
  on("export-all", "click", () => exportChats(byTime()));
  on("export-one", "click", () => { $("menu").hidePopover(); exportChats([open]); });
  on("share", "click", () => { $("menu").hidePopover(); shareOpen(); });
  on("unshare", "click", () => { $("menu").hidePopover(); unshare(open.id); });
  on("delete", "click", () => { $("menu").hidePopover(); deleteOpen(); });
  on("rename", "click", () => { $("menu").hidePopover(); $("title").focus(); $("title").select(); });
  on("title", "change", rename);
  on("title", "keydown", (e) => { if (e.key === "Enter") e.preventDefault(), $("input").focus(); });
  on("import", "click", () => $("import-file").click());
  on("import-file", "change", async (e) => { if (e.target.files[0]) await importFile(e.target.files[0]); e.target.value = ""; });
}

function wireRest() {
  on("composer", "submit", (e) => { e.preventDefault(); send(); });
  on("input", "input", growInput);
  on("input", "keydown", onInputKey);
  on("stop", "click", stop);
  on("use-sources", "click", toggleSources);
  wireDocuments({ isOn: () => Boolean(features.uploads), key: () => settings.key, onAdded: onDocument });
  on("close-source", "click", () => $("source").close());
  on("messages", "click", onMessageClick);
  on("messages", "keydown", onEditKey);
  on("open-settings", "click", () => openSettings());
  on("settings", "close", closeSettings);
  on("model", "change", (e) => { settings.model = e.target.value; store.writeSettings(settings); });
  on("open-sidebar", "click", () => showSidebar(true));
  on("close-sidebar", "click", () => { showSidebar(false); $("open-sidebar").focus(); });
  on("shade", "click", () => showSidebar(false));
  document.addEventListener("keydown", onKey);
}

function showExamples() {
  $("examples").replaceChildren(...EXAMPLES.map((text) => {
    const el = make("button", "", text);
    el.addEventListener("click", () => ask(open, null, text));
    return el;
  }));
}

async function openChats() {
  chats.clear();
  try {
    const usesServer = Boolean(features.chats) && !settings.browserOnly;
    for (const chat of await store.openStore(onOtherTab, usesServer, settings.key)) chats.set(chat.id, chat);
  } catch (e) {
    toast(e.message);
  }
  $("share").hidden = $("unshare").hidden = !store.isShared || !features.shares;
  if (!store.isShared && !store.isKept) toast("This browser keeps nothing for this page: chats end with the tab.");
  $("hint-kept").textContent = store.isShared ? "Chats are kept by this server." : "Chats are kept in this browser and sent to this server only.";
  openChat((await whole(chats.get(location.hash.slice(1)))) ?? newChat());
  offerMove();
}

async function start() {
  applyTheme();
  showSourcesButton();
  wireChats();
  wireRest();
  showExamples();
  await loadModels();
  await openChats();
  $("input").focus();
}

start();
