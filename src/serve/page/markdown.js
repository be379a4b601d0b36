/* markdown.js - a model's Markdown as page elements.
 *
 * Model text is hostile: it may carry what a stranger put into the prompt. So nothing here parses
 * HTML. Elements are made one by one from a fixed set, text goes in as text nodes, and the one
 * attribute that takes model text is a link's address, http, https or mailto only. Pictures become
 * links: a page that loads them would tell a stranger's server what was said.
 *
 * The dialect is what models write: CommonMark's blocks and GitHub's tables, task lists and
 * strikes; a line break is a line break. Formulas ($..$, \(..\), $$..$$, \[..\]) are shown as
 * they were written, framed like code. Depth and work are bounded, so that no text hangs the page.
 *
 * While an answer streams only the blocks that changed are made again. Begin at renderMarkdown().
 */
import { highlight } from "./highlight.js";

const MAX_DEPTH = 10;
const MAX_WORK = 50000; /* candidates for a closing mark, a whole text */
const SCHEMES = new Set(["http:", "https:", "mailto:"]);

function element(name, className, ...children) {
  const el = document.createElement(name);
  if (className) el.className = className;
  el.append(...children);
  return el;
}

/* The address if it is one that may be followed, else null. */
export function safeAddress(address) {
  try {
    const url = new URL(address);
    return SCHEMES.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function link(address, ...children) {
  const a = element("a", "", ...children);
  a.href = address;
  a.target = "_blank";
  a.rel = "noopener noreferrer nofollow";
  a.title = address;
  return a;
}

/* ---- inside a line ---- */

const isWord = (c) => c !== undefined && /[\p{L}\p{N}]/u.test(c);
const isBlank = (c) => c === undefined || /\s/.test(c);

/* Where the mark that closes `mark` begins, or -1. */
function findClose(s, from, mark, work) {
  for (let at = s.indexOf(mark, from); at >= 0; at = s.indexOf(mark, at + 1)) {
    if (--work.left < 0) return -1;
    if (at === from || isBlank(s[at - 1]) || s[at - 1] === "\\") continue;
    const after = s[at + mark.length];
    if (mark.length < 3 && after === mark[0]) {
      while (s[at + 1] === mark[0]) at++; /* a longer run closes something else */
      if (mark.length === 1) continue;
      return at - mark.length + 1;
    }
    if (mark[0] === "_" && isWord(after)) continue;
    return at;
  }
  return -1;
}

const EMPHASES = [["***", "strong", "em"], ["**", "strong"], ["__", "strong"], ["~~", "del"], ["*", "em"], ["_", "em"]];

function readEmphasis(s, at, cx) {
  for (const [mark, outer, inner] of EMPHASES) {
    if (!s.startsWith(mark, at)) continue;
    if (isBlank(s[at + mark.length]) || (mark[0] === "_" && isWord(s[at - 1]))) return null;
    const end = findClose(s, at + mark.length, mark, cx.work);
    if (end < 0) continue;
    const el = element(outer);
    const target = inner ? el.appendChild(element(inner)) : el;
    inline(target, s.slice(at + mark.length, end), deeper(cx));
    return [el, end + mark.length];
  }
  return null;
}

function readCode(s, at, cx) {
  let n = 1;
  while (s[at + n] === "`") n++;
  const mark = "`".repeat(n);
  let end = s.indexOf(mark, at + n);
  while (end >= 0 && s[end + n] === "`" && --cx.work.left > 0) {
    while (s[end] === "`") end++;
    end = s.indexOf(mark, end);
  }
  if (end < 0) return [document.createTextNode(mark), at + n];
  const code = s.slice(at + n, end).replaceAll("\n", " ");
  return [element("code", "", /^ .*[^ ].* $/.test(code) ? code.slice(1, -1) : code), end + n];
}

/* The bracket that closes the one at `at`, at most 2000 characters on, or -1. */
function findBracket(s, at, open, close, work) {
  let depth = 0;
  for (let i = at; i < s.length && i < at + 2000; i++) {
    if (--work.left < 0) return -1;
    if (s[i] === "\\") i++;
    else if (s[i] === open) depth++;
    else if (s[i] === close && --depth === 0) return i;
  }
  return -1;
}

/* [text](address "title") and ![text](address); the title is dropped. */
function readLink(s, at, cx) {
  const begin = s[at] === "!" ? at + 1 : at;
  if (s[begin] !== "[" || cx.isLink) return null;
  const mid = findBracket(s, begin, "[", "]", cx.work);
  if (mid < 0 || s[mid + 1] !== "(") return null;
  const end = findBracket(s, mid + 1, "(", ")", cx.work);
  if (end < 0) return null;
  const inside = s.slice(mid + 2, end).trim().replace(/\s+["'(].*$/s, "");
  const address = safeAddress(inside.replace(/^<(.*)>$/, "$1"));
  if (!address) return null;
  const a = link(address);
  inline(a, s.slice(begin + 1, mid) || address, { ...deeper(cx), isLink: true });
  return [a, end + 1];
}

/* <https://...>, or a bare address without the punctuation that follows it. */
function readAddress(s, at, cx) {
  if (cx.isLink) return null;
  const isFramed = s[at] === "<";
  if (!isFramed && isWord(s[at - 1])) return null;
  const scan = isFramed ? /<((?:https?:|mailto:)[^\s<>]{1,2000})>/y : /https?:\/\/[^\s<>"'`*]{1,2000}/y;
  scan.lastIndex = at;
  const match = scan.exec(s);
  if (!match) return null;
  const shown = isFramed ? match[1] : match[0].replace(/[.,;:!?\]]+$/, "").replace(/^([^(]*)\)+$/, "$1");
  const address = safeAddress(shown);
  return address ? [link(address, shown), at + (isFramed ? match[0].length : shown.length)] : null;
}

function readFormula(s, at, cx) {
  const pair = [["$$", "$$"], ["\\(", "\\)"], ["\\[", "\\]"], ["$", "$"]].find(([open]) => s.startsWith(open, at));
  if (!pair) return null;
  const [open, close] = pair;
  const end = s.indexOf(close, at + open.length);
  if (end < 0 || end === at + open.length || --cx.work.left < 0) return null;
  /* "$5 and $6" is money */
  if (open === "$" && (isBlank(s[at + 1]) || isBlank(s[end - 1]) || /\d/.test(s[end + 1] ?? ""))) return null;
  return [element("code", "math", s.slice(at + open.length, end).trim()), end + close.length];
}

function readEscape(s, at) {
  const next = s[at + 1];
  if (next === "\n") return [element("br"), at + 2];
  return next && /[!-/:-@[-`{-~]/.test(next) ? [document.createTextNode(next), at + 2] : null;
}

const READERS = {
  "\\": [readFormula, readEscape], "`": [readCode], "*": [readEmphasis], "_": [readEmphasis], "~": [readEmphasis],
  "[": [readLink], "!": [readLink], "<": [readAddress], "h": [readAddress], "$": [readFormula],
  "\n": [(s, at) => [element("br"), at + 1]],
};
const deeper = (cx) => ({ ...cx, depth: cx.depth + 1 });

/* Appends a paragraph's text to `parent`. */
function inline(parent, s, cx) {
  let plain = "";
  const flush = () => {
    if (plain) parent.append(plain);
    plain = "";
  };
  if (cx.depth > MAX_DEPTH) {
    parent.append(s);
    return;
  }
  for (let at = 0; at < s.length;) {
    let made = null;
    for (const read of READERS[s[at]] ?? []) if ((made = read(s, at, cx))) break;
    if (made) {
      flush();
      parent.append(made[0]);
      at = made[1];
    } else {
      plain += s[at++];
    }
  }
  flush();
}

/* ---- blocks ---- */

const FENCE = /^( {0,3})(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*))?$/;
const RULE = /^ {0,3}(?:(?:- *){3,}|(?:\* *){3,}|(?:_ *){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])( {1,4}(?=\S)| *$)/;

function splitRow(line) {
  const cells = line.trim().replace(/^\|/, "").replace(/\|$/, "").split(/(?<!\\)\|/);
  return cells.map((c) => c.trim().replaceAll("\\|", "|"));
}
const isDelimiter = (line) => line !== undefined && line.includes("-") && line.includes("|") && splitRow(line).every((c) => /^:?-+:?$/.test(c));
const isTable = (lines, i) => lines[i].includes("|") && isDelimiter(lines[i + 1]) && splitRow(lines[i]).length === splitRow(lines[i + 1]).length;
const beginsBlock = (lines, i) => FENCE.test(lines[i]) || HEADING.test(lines[i]) || RULE.test(lines[i]) || QUOTE.test(lines[i]) || ITEM.test(lines[i]) || isTable(lines, i);

function endOfFence(lines, i) {
  const mark = FENCE.exec(lines[i])[2];
  for (let j = i + 1; j < lines.length; j++) {
    const t = lines[j].trim();
    if (t.length >= mark.length && t === mark[0].repeat(t.length)) return j + 1;
  }
  return lines.length; /* still being written */
}

function endOfFormula(lines, i) {
  const close = lines[i].trim().startsWith("$$") ? "$$" : "\\]";
  if (lines[i].trim().length > 3 && lines[i].trimEnd().endsWith(close)) return i + 1;
  for (let j = i + 1; j < lines.length; j++) if (lines[j].trimEnd().endsWith(close)) return j + 1;
  return lines.length;
}

/* Items go on over blank lines while what follows is indented or another item. */
function endOfList(lines, i) {
  const first = ITEM.exec(lines[i]);
  const isNumbered = /\d/.test(first[2]);
  let j = i + 1;
  for (; j < lines.length; j++) {
    const wasBlank = !lines[j - 1].trim();
    if (!lines[j].trim()) continue;
    const item = ITEM.exec(lines[j]);
    if (item && !RULE.test(lines[j]) && (item[1].length > first[1].length + 1 || /\d/.test(item[2]) === isNumbered)) continue;
    if (item || /^ */.exec(lines[j])[0].length >= first[1].length + 2) {
      if (!item) continue;
      break;
    }
    if (wasBlank || beginsBlock(lines, j)) break;
  }
  while (!lines[j - 1].trim()) j--;
  return j;
}

/* One past the block's last line. */
function endOfBlock(lines, i) {
  if (FENCE.test(lines[i])) return endOfFence(lines, i);
  if (/^ {0,3}(\$\$|\\\[)/.test(lines[i])) return endOfFormula(lines, i);
  if (HEADING.test(lines[i]) || RULE.test(lines[i])) return i + 1;
  let j = i + 1;
  if (QUOTE.test(lines[i])) {
    while (j < lines.length && QUOTE.test(lines[j])) j++;
  } else if (isTable(lines, i)) {
    while (j < lines.length && lines[j].includes("|")) j++;
  } else if (ITEM.test(lines[i])) {
    return endOfList(lines, i);
  } else {
    while (j < lines.length && lines[j].trim() && !beginsBlock(lines, j)) j++;
  }
  return j;
}

function splitBlocks(lines) {
  const blocks = [];
  for (let i = 0; i < lines.length;) {
    if (!lines[i].trim()) {
      i++;
      continue;
    }
    const end = endOfBlock(lines, i);
    blocks.push(lines.slice(i, end));
    i = end;
  }
  return blocks;
}

function makeCode(lines) {
  const [, indent, mark, info] = FENCE.exec(lines[0]);
  const last = lines.at(-1).trim();
  const isClosed = lines.length > 1 && last.length >= mark.length && last === mark[0].repeat(last.length);
  const cut = new RegExp(`^ {0,${indent.length}}`);
  const code = lines.slice(1, isClosed ? -1 : undefined).map((l) => l.replace(cut, "")).join("\n");
  const language = info.trim().split(/\s/)[0].slice(0, 30);
  const copy = element("button", "", "Copy");
  copy.type = "button";
  copy.dataset.act = "copy-code";
  const body = element("code");
  highlight(body, code, language.toLowerCase());
  const pre = element("pre", "", body);
  pre.tabIndex = 0;
  return element("figure", "", element("figcaption", "", element("span", "", language || "code"), copy), pre);
}

function makeTable(lines, cx) {
  const aligns = splitRow(lines[1]).map((c) => (c.endsWith(":") ? (c.startsWith(":") ? "center" : "right") : ""));
  const row = (line, name) => {
    const tr = element("tr");
    const cells = splitRow(line);
    aligns.forEach((align, i) => {
      const cell = tr.appendChild(element(name, align));
      inline(cell, cells[i] ?? "", cx);
    });
    return tr;
  };
  const body = element("tbody", "", ...lines.slice(2).map((l) => row(l, "td")));
  const box = element("div", "table", element("table", "", element("thead", "", row(lines[0], "th")), body));
  box.tabIndex = 0;
  return box;
}

function makeItem(lines, isTight, cx) {
  const li = element("li");
  const task = /^\[([ xX])\] /.exec(lines[0]);
  if (task) {
    const box = element("input");
    box.type = "checkbox";
    box.checked = task[1] !== " ";
    box.disabled = true;
    li.className = "task";
    li.append(box, " ");
    lines = [lines[0].slice(4), ...lines.slice(1)];
  }
  for (const block of splitBlocks(lines)) {
    const el = makeBlock(block, deeper(cx));
    if ((isTight || task) && el.localName === "p") li.append(...el.childNodes);
    else li.append(el);
  }
  return li;
}

function makeList(lines, cx) {
  const [, indent, mark] = ITEM.exec(lines[0]);
  const list = element(/\d/.test(mark) ? "ol" : "ul");
  if (list.localName === "ol" && parseInt(mark, 10) !== 1) list.start = parseInt(mark, 10);
  const items = [];
  let width = 0;
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item && (items.length === 0 || item[1].length < indent.length + 2)) {
      width = item[0].length;
      items.push([line.slice(width)]);
    } else {
      const blanks = /^ */.exec(line)[0].length;
      items.at(-1).push(line.slice(Math.min(blanks, width)));
    }
  }
  const isTight = items.every((item) => !item.slice(0, -1).some((l, i) => !l.trim() && i > 0) && (item.length < 2 || item.at(-1).trim()));
  for (const item of items) list.append(makeItem(item, isTight, cx));
  return list;
}

function makeFormula(lines) {
  const s = lines.join("\n").trim().replace(/^(\$\$|\\\[)/, "").replace(/(\$\$|\\\])$/, "");
  return element("p", "", element("code", "math", s.trim()));
}

function makeParagraph(lines, cx) {
  const p = element("p");
  inline(p, lines.map((l) => l.trim()).join("\n"), cx);
  return p;
}

function makeHeading(line, cx) {
  const [, marks, rest] = HEADING.exec(line);
  const el = element(`h${marks.length}`);
  inline(el, (rest ?? "").trim().replace(/(^|\s)#+$/, ""), cx);
  return el;
}

function makeQuote(lines, cx) {
  const el = element("blockquote");
  for (const block of splitBlocks(lines.map((l) => l.replace(QUOTE, "")))) el.append(makeBlock(block, deeper(cx)));
  return el;
}

function makeBlock(lines, cx) {
  if (cx.depth > MAX_DEPTH) return element("p", "", lines.join("\n"));
  if (FENCE.test(lines[0])) return makeCode(lines);
  if (/^ {0,3}(\$\$|\\\[)/.test(lines[0])) return makeFormula(lines);
  if (HEADING.test(lines[0])) return makeHeading(lines[0], cx);
  if (RULE.test(lines[0])) return element("hr");
  if (QUOTE.test(lines[0])) return makeQuote(lines, cx);
  if (isTable(lines, 0)) return makeTable(lines, cx);
  if (ITEM.test(lines[0])) return makeList(lines, cx);
  return makeParagraph(lines, cx);
}

const shown = new WeakMap(); /* element: the sources of its blocks */

/* Makes `el` show `text`; blocks that are as they were stay as they are. */
export function renderMarkdown(el, text) {
  const blocks = splitBlocks(text.replaceAll("\r\n", "\n").replaceAll("\t", "    ").split("\n"));
  const sources = blocks.map((lines) => lines.join("\n"));
  const old = shown.get(el) ?? [];
  let same = 0;
  while (same < old.length && same < sources.length && old[same] === sources[same]) same++;
  while (el.childNodes.length > same) el.lastChild.remove();
  const cx = { depth: 0, work: { left: MAX_WORK }, isLink: false };
  for (let i = same; i < blocks.length; i++) el.append(makeBlock(blocks[i], cx));
  shown.set(el, sources);
}
