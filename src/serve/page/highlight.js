/* highlight.js - colours for code: words, strings, numbers, comments.
 *
 * One scanner for all languages; a language chooses how its comments begin. Words are the union of
 * common languages' keywords: now and then a name is coloured that is none, and a table a language
 * would be larger than the rest of the page. Builds text nodes and spans, so that code stays text.
 */
const WORDS = new Set(("abstract and as async await auto bool boolean break case catch char class const constexpr continue " +
  "def default del delete do double elif else end enum except export extends extern false final finally float fn for " +
  "from func function global go goto if impl implements import in include inline instanceof int interface is lambda " +
  "let long loop match mod mut namespace new nil none not null None True False nullptr of or package pass private " +
  "protected pub public raise return self short signed sizeof static struct super switch template then this throw " +
  "throws trait true try type typedef typename undefined union unsigned until use using var virtual void volatile " +
  "where while with yield select insert update create table join on group by order values set into from limit echo " +
  "fi done esac local").split(" "));
const HASH = new Set("python py bash sh shell zsh yaml yml toml ruby rb perl r make makefile dockerfile cmake conf ini nix elixir julia".split(" "));
const DASH = new Set("sql lua haskell hs ada vhdl".split(" "));
const PLAIN = new Set(["", "text", "txt", "plain", "plaintext", "output", "markdown", "md", "diff", "csv"]);
const STRING = String.raw`"(?:\\[^]|[^"\\\n])*"?|'(?:\\[^]|[^'\\\n])*'?|` + "`(?:\\\\[^]|[^`\\\\])*`?";
const REST = String.raw`\b\d[\w.]*|[A-Za-z_]\w*`;

function scannerOf(language) {
  const comment = HASH.has(language) ? "#[^\\n]*" : DASH.has(language) ? "--[^\\n]*" : String.raw`\/\/[^\n]*|\/\*[^]*?(?:\*\/|$)|<!--[^]*?(?:-->|$)`;
  return new RegExp(`(${comment})|(${STRING})|(${REST})`, "g");
}

function kindOf(match) {
  if (match[1]) return "comment";
  if (match[2]) return "string";
  if (/^\d/.test(match[0])) return "number";
  return WORDS.has(match[0]) || WORDS.has(match[0].toLowerCase()) && match[0] === match[0].toUpperCase() && match[0].length > 1 ? "word" : null;
}

/* Fills `el` with the code. */
export function highlight(el, code, language) {
  el.textContent = "";
  if (PLAIN.has(language) || code.length > 100000) {
    el.textContent = code;
    return;
  }
  let at = 0;
  for (const match of code.matchAll(scannerOf(language))) {
    const kind = kindOf(match);
    if (!kind) continue;
    const span = document.createElement("span");
    span.className = `hl-${kind}`;
    span.textContent = match[0];
    el.append(code.slice(at, match.index), span);
    at = match.index + match[0].length;
  }
  el.append(code.slice(at));
}
