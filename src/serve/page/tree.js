/* tree.js - a chat is a tree of messages, and one path through it is shown.
 *
 * An edited question or a second answer does not overwrite the first: it is a sibling, with the
 * same parent. `leaf` is the last message of the path that is shown. Nodes lie in one object in the
 * order in which they were made, so that siblings need no list of their own. Pure data: nothing
 * here touches the page or the disk.
 *
 * chat { id, title, created, updated, leaf, nodes: { id: node } }
 * node { id, parent, role: "user" | "assistant", content, state, fault, finish, figures, model,
 *        sources: [{ number, passage, title, path, quote }] }
 */
const MAX_NODES = 20000;
export const newId = () => [...crypto.getRandomValues(new Uint8Array(12))].map((b) => b.toString(16).padStart(2, "0")).join("");

export function newChat() {
  const now = Date.now();
  return { id: newId(), title: "", created: now, updated: now, leaf: null, nodes: {} };
}

/* Adds a message under `parent` (null: the beginning) and shows it. */
export function addNode(chat, parent, role, content) {
  const node = { id: newId(), parent, role, content };
  chat.nodes[node.id] = node;
  chat.leaf = node.id;
  chat.updated = Date.now();
  if (!chat.title && role === "user") chat.title = titleOf(content);
  return node;
}

export function titleOf(text) {
  const line = text.trim().split("\n")[0];
  return line.length > 60 ? line.slice(0, 57).trimEnd() + "..." : line;
}

/* From the first message to `id`. */
export function pathTo(chat, id) {
  const path = [];
  for (let n = chat.nodes[id]; n; n = chat.nodes[n.parent]) path.push(n);
  return path.reverse();
}

export const siblings = (chat, node) => Object.values(chat.nodes).filter((n) => n.parent === node.parent);

/* Shows the branch of `id`: down its newest messages to the end. */
export function showBranch(chat, id) {
  for (;;) {
    const next = Object.values(chat.nodes).filter((n) => n.parent === id).at(-1);
    if (!next) break;
    id = next.id;
  }
  chat.leaf = id;
}

/* ---- what comes from a file ---- */
const text = (v, max) => (typeof v === "string" ? v.slice(0, max) : "");
const time = (v) => (Number.isFinite(v) && v > 0 ? v : Date.now());
const number = (v) => (Number.isFinite(v) && v >= 0 ? v : undefined);

function cleanFigures(f) {
  if (typeof f !== "object" || f === null) return undefined;
  return { tokens: number(f.tokens), prompt: number(f.prompt), cached: number(f.cached), perSecond: number(f.perSecond), firstS: number(f.firstS) };
}

function cleanSources(list) {
  if (!Array.isArray(list)) return undefined;
  const known = list.slice(0, 1000).filter((s) => Number.isInteger(s?.number) && Number.isInteger(s?.passage));
  return known.map((s) => ({ number: s.number, passage: s.passage, title: text(s.title, 1000), path: text(s.path, 5000), quote: text(s.quote, 20000) }));
}

/* Returns the chat with known fields of known types alone, under fresh ids, or throws in words.
 * Fresh ids: an import never overwrites, and no name from the file becomes a key of an object. */
export const cleanChat = (raw, i) => soundNodes(raw, `chat ${i + 1}`, () => newId());

/* The same of a chat that the server kept for us: ids that this page made stay. */
export function soundChat(raw, id) {
  const chat = soundNodes(raw, "this chat", (old) => (/^[0-9a-f]{24}$/.test(old) ? old : newId()));
  return { ...chat, id };
}

/* Takes into `chat` what another tab or computer wrote into the same one. Messages are never
 * changed once they are whole, so both keep theirs. */
export function mergeChat(chat, theirs) {
  for (const node of Object.values(theirs.nodes)) {
    const mine = chat.nodes[node.id];
    if (!mine) chat.nodes[node.id] = node;
    else if (node.content.length > mine.content.length) Object.assign(mine, node);
  }
  if (theirs.updated > chat.updated || !chat.title) chat.title = theirs.title;
}

function soundNodes(raw, where, idOf) {
  if (typeof raw !== "object" || raw === null || typeof raw.nodes !== "object" || raw.nodes === null)
    throw new Error(`${where} has no messages`);
  const nodes = Object.values(raw.nodes);
  if (nodes.length > MAX_NODES) throw new Error(`${where} has ${nodes.length} messages; at most ${MAX_NODES} are read`);
  const ids = new Map([[null, null]]);
  const chat = newChat();
  for (const n of nodes) {
    if (typeof n !== "object" || n === null || typeof n.id !== "string" || typeof n.content !== "string" || !["user", "assistant"].includes(n.role))
      throw new Error(`${where} has a message without id, role or content`);
    if (!ids.has(n.parent)) throw new Error(`${where} has a message whose parent does not come before it`);
    if (ids.has(n.id)) throw new Error(`${where} has one message twice`);
    const node = { id: idOf(n.id), parent: ids.get(n.parent), role: n.role, content: n.content };
    if (n.state === "stopped") node.state = n.state;
    if (typeof n.fault === "string") node.fault = text(n.fault, 2000);
    if (["stop", "length"].includes(n.finish)) node.finish = n.finish;
    if (n.model) node.model = text(n.model, 200);
    node.figures = cleanFigures(n.figures);
    if (n.sources) node.sources = cleanSources(n.sources);
    ids.set(n.id, node.id);
    chat.nodes[node.id] = node;
  }
  chat.title = text(raw.title, 200);
  chat.created = time(raw.created);
  chat.updated = time(raw.updated);
  chat.leaf = ids.get(raw.leaf) ?? null;
  if (chat.leaf === null && nodes.length) showBranch(chat, null);
  return chat;
}
