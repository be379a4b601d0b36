/* sources.js - references in an answer, and the passage that one opens.
 *
 * The server tells where a mark "[2]" stands in the text and what it quotes (annotations of
 * /v1/chat/completions). Here marks whose numbers were told become superscript buttons, wherever
 * Markdown has put them except in code, and a button shows its passage whole, with the quoted
 * sentences marked. Text is set as text: what a document says is never parsed.
 */
import { readPassage } from "./api.js";
import { $, make } from "./view.js";

const MARK = /\[(\d+)\]/g;

/* The annotation as a message keeps it, or null if it is none of ours. */
export function sourceOf(annotation) {
  const s = annotation?.source, c = annotation?.url_citation;
  if (!Number.isInteger(s?.number) || !Number.isInteger(s?.passage)) return null;
  const text = (v) => (typeof v === "string" ? v : "");
  return { number: s.number, passage: s.passage, title: text(c?.title), path: text(s.path), quote: text(s.quote) };
}

/* One for each number, in order. */
export function usedSources(node) {
  const byNumber = new Map();
  for (const s of node.sources ?? []) if (!byNumber.has(s.number)) byNumber.set(s.number, s);
  return [...byNumber.values()].sort((a, b) => a.number - b.number);
}

function markButton(source) {
  const el = make("button", "", String(source.number));
  el.type = "button";
  el.dataset.act = "source";
  el.dataset.number = source.number;
  el.title = source.title;
  el.setAttribute("aria-label", `Source ${source.number}: ${source.title}`);
  const sup = make("sup", "source");
  sup.append(el);
  return sup;
}

/* Marks in `body` become buttons. */
export function setMarks(body, node) {
  const known = new Map(usedSources(node).map((s) => [s.number, s]));
  if (!known.size) return;
  const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) if (!walker.currentNode.parentElement.closest("code, pre, a")) texts.push(walker.currentNode);
  for (const text of texts) {
    const parts = [];
    let from = 0;
    for (const m of text.data.matchAll(MARK)) {
      const source = known.get(Number(m[1]));
      if (!source) continue;
      parts.push(text.data.slice(from, m.index).trimEnd(), markButton(source));
      from = m.index + m[0].length;
    }
    if (parts.length) text.replaceWith(...parts, text.data.slice(from));
  }
}

/* The list below an answer, or null. */
export function sourceList(node) {
  const used = usedSources(node);
  if (!used.length) return null;
  const list = make("ol", "sources");
  list.setAttribute("aria-label", "Sources");
  for (const s of used) {
    const el = make("button", "", s.title || s.path);
    el.type = "button";
    el.dataset.act = "source";
    el.dataset.number = s.number;
    const li = make("li");
    li.value = s.number;
    li.append(el);
    list.append(li);
  }
  return list;
}

function fillPanel(source, text, note) {
  $("source-title").textContent = `${source.number}. ${source.title || source.path}`;
  $("source-path").textContent = source.path;
  const at = source.quote ? text.indexOf(source.quote) : -1;
  if (at < 0) $("source-text").replaceChildren(text);
  else $("source-text").replaceChildren(text.slice(0, at), make("mark", "", source.quote), text.slice(at + source.quote.length));
  $("source-note").textContent = note;
  $("source-note").hidden = !note;
  $("source-text").querySelector("mark")?.scrollIntoView({ block: "center" });
}

/* Opens the passage of source `number` of the message. */
export async function showSource(node, number, key) {
  const source = usedSources(node).find((s) => s.number === number);
  if (!source) return;
  fillPanel(source, source.quote, "");
  $("source").showModal();
  try {
    fillPanel(source, (await readPassage(source.passage, key)).text, "");
  } catch (e) {
    fillPanel(source, source.quote, `Only what was quoted can be shown: ${e.message}`);
  }
}
