/* shared.js - a chat behind a link: read, and no more.
 *
 * The secret is behind the # of the address, which browsers send to nobody. What comes is what a
 * stranger wrote: questions are text, answers go through markdown.js like all others.
 */
import { renderMarkdown } from "./markdown.js";

const $ = (id) => document.getElementById(id);

function make(name, className, text) {
  const el = document.createElement(name);
  if (className) el.className = className;
  if (text) el.textContent = text;
  return el;
}

function sourcesOf(message) {
  const list = make("ul", "sources");
  const seen = new Set();
  for (const s of Array.isArray(message.sources) ? message.sources : []) {
    const line = `[${Number(s.number)}] ${String(s.title)}`;
    if (!seen.has(line)) seen.add(line), list.append(make("li", "", line));
  }
  return list.children.length ? list : null;
}

function messageOf(message) {
  const isUser = message.role === "user";
  const el = make("article", isUser ? "user" : "assistant");
  const body = make("div", isUser ? "body" : "body md");
  el.setAttribute("aria-label", isUser ? "Question" : "Answer");
  if (isUser) body.textContent = String(message.content);
  else renderMarkdown(body, String(message.content));
  const list = sourcesOf(message);
  el.append(body, ...(list ? [list] : []));
  return el;
}

async function read() {
  const token = location.hash.slice(1);
  if (!/^[0-9a-f]{8,71}$/.test(token)) return null;
  const response = await fetch(`../shared/${token}`, { cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer" });
  return response.ok ? response.json() : null;
}

async function start() {
  const chat = await read().catch(() => null);
  $("note").textContent = chat ? "A chat that was shared with you; it cannot be changed here." : "There is no chat behind this link, or it is shared no more.";
  if (!chat) return;
  document.title = $("title").textContent = String(chat.title) || "A shared chat";
  $("messages").replaceChildren(...chat.messages.map(messageOf));
}

addEventListener("hashchange", () => location.reload());
start();
