#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a hostile document does to a prompt: nothing structural.

    injected.py CRIA MODEL FOLDER write      a document and an index for each attempt in injections.json
    injected.py CRIA MODEL FOLDER check      TAP lines: is the prompt of each that of a harmless document but for its text?

The prompt is what `cria generate --show-prompt` prints, as ids and bytes. Outside the block of sources it must be the same,
token for token; inside there is neither another end of the block, nor a token with a meaning of its own, nor another source.
"""
import json
import os
import re
import subprocess
import sys
import unicodedata

QUESTION = "What is the Zanzibar fact?"
HARMLESS = "Zanzibar fact. It lies in the sea."


def tokens(cria, model, db):
    r = subprocess.run([cria, "generate", "-m", model, "-p", QUESTION, "-n", "0", "--show-prompt", "--index", db],
                       capture_output=True)
    if r.returncode:
        raise ValueError(r.stderr.decode("utf-8", "replace")[-300:])
    # a token may be half a character: bytes until they are joined
    line = next(x for x in r.stderr.decode("latin-1").split("\n") if re.match(r'\d+:"', x))
    return [(int(i), s) for i, s in re.findall(r'(\d+):"((?:[^"\\]|\\.)*)"', line)]


def text(part):
    return "".join(s for _, s in part).encode("latin-1").decode("utf-8", "replace").replace("\\n", "\n")


def seen(s):
    """As a reader sees it: full width as narrow, without what nobody sees."""
    return "".join(c for c in unicodedata.normalize("NFKC", s) if unicodedata.category(c) != "Cf")


def split(toks):
    """Before, inside and behind the block: from the tag that opens it to the one before the question."""
    ends = [0]
    for _, s in toks:
        ends.append(ends[-1] + len(s))
    whole = "".join(s for _, s in toks)
    begin, end = whole.find("<sources>"), whole.rfind("</sources>")
    first = max(i for i, e in enumerate(ends) if e <= begin)
    last = min(i for i, e in enumerate(ends) if e >= end + len("</sources>"))
    return toks[:first], toks[first:last], toks[last:]


def faults(plain, toks):
    before, inside, behind = split(toks)
    harmless_before, harmless_inside, harmless_behind = split(plain)
    body, harmless = seen(text(inside)), seen(text(harmless_inside))
    if before != harmless_before:
        yield "what stands before the sources is another"
    if behind != harmless_behind:
        yield "what stands behind them is another"
    if any(re.fullmatch(r"<\|.+\|>|</?s>", s) for _, s in inside):
        yield "a token of the template stands in it"
    if len(re.findall(r"<[\s/]*sources", body, re.I)) != 2:
        yield "there is more than one block"
    if len(re.findall(r"\[[\s^]*\d", body)) != len(re.findall(r"\[[\s^]*\d", harmless)):
        yield "there is more than one source"


def main():
    cria, model, folder, what = sys.argv[1:]
    with open(os.path.join(os.path.dirname(__file__), "injections.json"), encoding="utf-8") as f:
        attempts = {"a harmless document": HARMLESS, **json.load(f)}
    plain = None
    for n, (name, words) in enumerate(attempts.items()):
        path = f"{folder}/{n:02}"
        if what == "write":
            os.makedirs(path, exist_ok=True)
            with open(f"{path}/doc.txt", "w", encoding="utf-8") as f:
                f.write(words)
            subprocess.run([cria, "index", "-q", f"{path}.db", path], check=True)
            continue
        toks = tokens(cria, model, f"{path}.db")
        plain = plain or toks
        found = list(faults(plain, toks))
        for fault in found:
            print(f"# {name}: {fault}")
        print(f"{'not ok' if found else 'ok'} - a document that {name}" if n else f"# {len(attempts) - 1} attempts")


main()
