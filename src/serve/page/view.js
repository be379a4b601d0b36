/* view.js - makes the elements of a chat: its messages and the list of chats.
 *
 * Nothing here knows what a button does: each carries data-act, and page.js listens once. An
 * answer's text goes through markdown.js; a question is shown as it was typed.
 */
import { renderMarkdown } from "./markdown.js";
import { setMarks, sourceList } from "./sources.js";
import { siblings } from "./tree.js";

export const $ = (id) => document.getElementById(id);

export function make(name, className, text) {
  const el = document.createElement(name);
  if (className) el.className = className;
  if (text) el.textContent = text;
  return el;
}

function button(act, label, name) {
  const el = make("button", "", label);
  el.type = "button";
  el.dataset.act = act;
  if (name) el.setAttribute("aria-label", name);
  return el;
}

/* ---- messages ---- */

/* "‹ 2 of 3 ›" where a message has siblings. */
function branchTool(chat, node) {
  const all = siblings(chat, node);
  if (all.length < 2) return null;
  const i = all.indexOf(node);
  const what = node.role === "user" ? "question" : "answer";
  const back = button("back", "\u2039", `Earlier ${what}`);
  const next = button("next", "\u203a", `Later ${what}`);
  back.disabled = i === 0;
  next.disabled = i === all.length - 1;
  const box = make("span", "branch");
  box.append(back, make("span", "", `${i + 1} of ${all.length}`), next);
  return box;
}

function figuresOf(node) {
  const f = node.figures;
  if (!f || f.tokens === undefined) return "";
  const parts = [`${f.tokens} ${f.tokens === 1 ? "token" : "tokens"}`];
  if (f.perSecond) parts.push(`${f.perSecond.toFixed(f.perSecond < 10 ? 1 : 0)} a second`);
  if (f.firstS !== undefined) parts.push(`first after ${f.firstS.toFixed(f.firstS < 10 ? 1 : 0)} s`);
  return parts.join(" \u00b7 ");
}

const NOTES = {
  stopped: "You stopped this answer.",
  length: "The answer ends here because it reached the most tokens that are allowed.",
};

export function fillMessage(el, chat, node, isRunning) {
  const body = el.querySelector(".body");
  if (node.role === "user") body.textContent = node.content;
  else renderMarkdown(body, node.content), setMarks(body, node);
  body.classList.toggle("waiting", isRunning && !node.content);
  el.setAttribute("aria-busy", String(isRunning));
  el.querySelector(".under").replaceChildren(...underMessage(chat, node, isRunning));
}

function underMessage(chat, node, isRunning) {
  if (isRunning) return [make("div", "tools")];
  const under = [];
  const list = sourceList(node);
  if (list) under.push(list);
  const note = NOTES[node.state] ?? NOTES[node.finish];
  if (node.fault) under.push(make("p", "fault", node.fault));
  else if (note) under.push(make("p", "note", note));
  const tools = make("div", "tools");
  const branch = branchTool(chat, node);
  if (branch) tools.append(branch);
  if (node.role === "user") tools.append(button("edit", "Edit", "Edit this message"));
  else tools.append(button("again", node.fault ? "Try again" : "Regenerate", node.fault ? "Try again" : "Regenerate this answer"));
  if (node.content) tools.append(button("copy", "Copy", "Copy this message"));
  const figures = figuresOf(node);
  if (figures) {
    const el = make("span", "figures", figures);
    if (node.figures.prompt !== undefined) el.title = `${node.figures.prompt} tokens read, ${node.figures.cached ?? 0} of them from the cache${node.model ? `; ${node.model}` : ""}`;
    tools.append(el);
  }
  under.push(tools);
  return under;
}

export function makeMessage(chat, node, isRunning) {
  const el = make("article", node.role);
  el.dataset.id = node.id;
  el.setAttribute("aria-label", node.role === "user" ? "You" : "Answer");
  el.append(make("div", node.role === "user" ? "body" : "body md"), make("div", "under"));
  fillMessage(el, chat, node, isRunning);
  return el;
}

/* The message as a field; its buttons are data-act save-edit and cancel-edit. */
export function makeEditor(el, node) {
  const box = make("div", "edit");
  const field = make("textarea");
  field.value = node.content;
  field.setAttribute("aria-label", "Edit this message");
  const row = make("div", "row");
  const save = button("save-edit", "Send");
  save.className = "primary";
  row.append(button("cancel-edit", "Cancel"), save);
  box.append(field, row);
  el.replaceChildren(box);
  field.focus();
}

/* ---- the list ---- */

/* The words around the first place where `words` stands in the chat's text, or null. */
function findIn(chat, words) {
  for (const node of Object.values(chat.nodes)) {
    const at = node.content.toLowerCase().indexOf(words);
    if (at < 0) continue;
    const begin = Math.max(0, at - 12);
    return { before: (begin ? "\u2026" : "") + node.content.slice(begin, at), hit: node.content.slice(at, at + words.length), after: node.content.slice(at + words.length, at + 60) };
  }
  return null;
}

function listRow(chat, isCurrent, found) {
  const row = button("open", chat.title || "New chat");
  row.dataset.id = chat.id;
  row.title = chat.title;
  if (isCurrent) row.setAttribute("aria-current", "true");
  if (found) {
    const small = make("small");
    small.append(found.before, make("mark", "", found.hit), found.after);
    row.append(small);
  }
  const li = make("li");
  li.append(row);
  return li;
}

/* `chats` newest first; `words` narrows them to those that have it in title or text, or whose ids
 * are in `hits`. */
export function showList(chats, current, words, hits) {
  const rows = [];
  const needle = words.trim().toLowerCase();
  for (const chat of chats) {
    const isInTitle = chat.title.toLowerCase().includes(needle);
    const found = needle && !isInTitle ? findIn(chat, needle) : null;
    if (!needle || isInTitle || found || hits?.has(chat.id)) rows.push(listRow(chat, chat.id === current, found));
  }
  $("chats").replaceChildren(...rows);
  $("chats").hidden = rows.length === 0;
  $("no-chats").hidden = rows.length > 0;
  $("no-chats").textContent = needle ? "No chat has these words." : "Your chats will be listed here.";
}

/* ---- short messages ---- */

let toastTimer = 0;
/* Says `text` for some seconds; with `act` there is a button that calls it. */
export function toast(text, label, act) {
  const [span, undo] = $("toast").children;
  span.textContent = text;
  undo.hidden = !act;
  undo.textContent = label ?? "";
  undo.onclick = () => {
    $("toast").hidden = true;
    act();
  };
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => ($("toast").hidden = true), act ? 10000 : 5000);
}

/* For screen readers alone. */
export function announce(text) {
  $("announce").textContent = text;
}
