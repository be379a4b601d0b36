#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a vocabulary as the text that tests/text/vocab_reader.h reads.

    tokenizer_dump.py MODEL.gguf|tokenizer.model [--merges] > vocab.dump

A GGUF file is read with the gguf package, a SentencePiece model with sentencepiece; a tiktoken file
with --merges is written with the list of merges that it implies (spec/llama3.md 2.9).
"""
import argparse
import base64
import sys

PRETOK = {"llama-bpe": 1, "gpt-2": 2, "smollm": 3}
PRINTABLE = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255]
BYTE_OF = {chr(b): b for b in PRINTABLE}
BYTE_OF.update({chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in PRINTABLE)})


def from_spelling(s):
    return bytes(BYTE_OF[c] for c in s)


def dump(model, pretok, settings, tokens, merges):
    print("V", model, pretok, *(settings.get(k, d) for k, d in (
        ("bos", -1), ("eos", -1), ("unk", -1), ("adds_bos", 0), ("adds_space_prefix", 0),
        ("ignores_merges", 0))))
    for kind, score, data in tokens:
        print("T", kind, score, data.hex())
    for left, right in merges:
        print("M", left, right)


def of_gguf(path):
    import gguf
    fields = gguf.GGUFReader(path).fields

    def get(name, default=None):
        f = fields.get("tokenizer.ggml." + name)
        return default if f is None else f.contents()
    kinds, texts = get("token_type"), get("tokens")
    is_spm = get("model") == "llama"
    pretok = 0 if is_spm else PRETOK[get("pre")]
    settings = {"bos": get("bos_token_id", -1), "eos": get("eos_token_id", -1),
                "unk": get("unknown_token_id", -1), "adds_bos": int(get("add_bos_token", False)),
                "adds_space_prefix": int(is_spm and get("add_space_prefix", True)),
                "ignores_merges": int(pretok == 1)}
    if is_spm:
        dump(1, 0, settings, [(k, s, t.encode()) for k, s, t in zip(kinds, get("scores"), texts)], [])
        return
    tokens = [(k, 0, from_spelling(t) if k == 1 else t.encode()) for k, t in zip(kinds, texts)]
    id_of = {t: i for i, t in enumerate(texts)}
    merges = [m.split(" ") for m in get("merges")]
    dump(0, pretok, settings, tokens, [(id_of[x], id_of[y]) for x, y in merges])


def of_sentencepiece(path):
    import sentencepiece
    sp = sentencepiece.SentencePieceProcessor(model_file=path)

    def kind(i):
        return (2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 5 if sp.is_unused(i) else
                6 if sp.is_byte(i) else 1)
    dump(1, 0, {"bos": sp.bos_id(), "eos": sp.eos_id(), "unk": sp.unk_id(), "adds_bos": 1,
                "adds_space_prefix": 1},
         [(kind(i), sp.get_score(i), sp.id_to_piece(i).encode()) for i in range(sp.vocab_size())], [])


def of_tiktoken(path):
    lines = [line.split() for line in open(path, "rb") if line.strip()]
    ranks = {base64.b64decode(t): int(r) for t, r in lines}
    merges = []
    for token in sorted(ranks, key=ranks.get):
        cuts = [(ranks[token[:i]], ranks[token[i:]]) for i in range(1, len(token))
                if token[:i] in ranks and token[i:] in ranks]
        merges += sorted(cuts)
    dump(0, 1, {"ignores_merges": 1}, [(1, 0, t) for t in sorted(ranks, key=ranks.get)], merges)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("model")
    ap.add_argument("--merges", action="store_true")
    a = ap.parse_args()
    if a.merges:
        of_tiktoken(a.model)
    elif a.model.endswith(".gguf"):
        of_gguf(a.model)
    else:
        of_sentencepiece(a.model)


if __name__ == "__main__":
    sys.exit(main())
