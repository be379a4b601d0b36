#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares Cria's token ids with an independent tokenizer on random strings.

    tokenizer_fuzz.py [-n 1000000] [--seed 1] REFERENCE VOCAB -- PROGRAM ARG...

PROGRAM reads JSON strings, a line each, and prints a JSON array of ids for each, for instance
`cria tokenize -m VOCAB --jsonl`. REFERENCE is
    tiktoken       VOCAB: Llama 3's tokenizer.model; ids of encode_ordinary
    hf             VOCAB: a GGUF file of a byte-level vocabulary (llama-bpe, gpt-2 or smollm)
    sentencepiece  VOCAB: a SentencePiece model
Strings mix all planes of Unicode, code points of one script, white space, digits, contractions,
texts of special tokens and long runs. Exit status 1 and the first differences if any string has
other ids.
"""
import argparse
import base64
import json
import random
import subprocess
import sys
import time

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
WORDS = ("the of and to in that is was for on with as it be by at not from have you this are or his "
         "Hello World token llama 2024 3.14159 don't we'll they've I'm you're he'd IT'S DON'T "
         "int main(void) return 0; if (x == 10) { } // /* */ != <= -> :: https://example.com/?q=1 "
         "Straße naïve café Привет мир 你好 世界 日本語 テスト 한국어 مرحبا नमस्ते สวัสดี Việt việc jeho "
         "<|eot_id|> <|begin_of_text|> <s> </s> <unk> <0x0A> <|im_start|> <|endoftext|>").split()
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\t\t", "\u00a0", "\u3000", "\u2028", "\u0085",
          "\x0b", "\x1c", "\u200b", "\ufeff", " \n ", "\n \n", "\u1680", "\u180e"]
ODD = ["'s", "'S", "'\u017f", "'re", "'LL", "'", "''", "\u2019s", "\u0301", "\u200d", "\U0001f469",
       "\U0001f600", "½", "²", "١٢٣", "Ⅷ", "\u2581", "\u2581\u2581", "\ufffd", "\x00", "\x7f", "\u0e33", "."]
BLOCKS = [(0x20, 0x7f), (0x20, 0x7f), (0xa0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700),
          (0x900, 0xe80), (0x1000, 0x1200), (0x1e00, 0x2070), (0x2070, 0x2c00), (0x3000, 0x3200),
          (0x4e00, 0xa000), (0xac00, 0xd7b0), (0xf900, 0x10000), (0x10000, 0x11000), (0x16800, 0x17000),
          (0x1d400, 0x1d800), (0x1e000, 0x1f000), (0x1f000, 0x1fb00), (0x20000, 0x20400), (0xe0000, 0xe0200)]


# Numbers that Unicode 17 added: Rust's is_numeric, which tokenizers' Digits asks, has them; the
# tables of the regular expressions (tiktoken's and ours) are those of 16.
NEW_NUMBERS = {*range(0x11DE0, 0x11DEA), *range(0x16FF4, 0x16FF7)}


def char_in(r, begin, end):
    c = r.randrange(begin, end)
    return "x" if 0xd800 <= c < 0xe000 or c in NEW_NUMBERS else chr(c)


def any_char(r):
    return char_in(r, 0, 0x110000)


def block_char(r, block):
    return char_in(r, *block)


def part(r, block):
    kind = r.randrange(12)
    if kind < 3:
        return r.choice(WORDS)
    if kind < 6:
        return r.choice(SPACES)
    if kind < 7:
        return r.choice(ODD)
    if kind < 8:
        return "".join(r.choice("0123456789") for _ in range(r.randint(1, 8)))
    if kind < 9:
        return any_char(r)
    if kind < 11:
        return "".join(block_char(r, block) for _ in range(r.randint(1, 6)))
    return r.choice(["a", " ", "\n", "0", "é", "世", "\U0001f600", "\u0301", "!", "=", "ab", " \n",
                     block_char(r, block)]) * r.choice([2, 3, 5, 8, 17, 40, 130])


def text(r):
    if r.randrange(2000) == 0:
        return r.choice(["a", " ", "\n", "\u0301", "ab", "1", "-", "あ"]) * r.randint(1000, 4000)
    block = r.choice(BLOCKS)
    return "".join(part(r, block) for _ in range(r.randint(0, r.choice([3, 8, 20]))))


def of_tiktoken(path):
    import tiktoken
    ranks = {base64.b64decode(t): int(n) for t, n in (x.split() for x in open(path, "rb") if x.strip())}
    e = tiktoken.Encoding("llama3", pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens={})
    return "tiktoken " + tiktoken.__version__, lambda texts: [e.encode_ordinary(t) for t in texts]


def of_hf(path):
    import gguf
    import tokenizers
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers as pre
    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    kinds = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    family = fields["tokenizer.ggml.pre"].contents()
    plain = {t: i for i, t in enumerate(tokens) if kinds[i] == 1}
    t = Tokenizer(models.BPE(vocab=plain, merges=merges, ignore_merges=family == "llama-bpe"))
    byte_level = pre.ByteLevel(add_prefix_space=False, use_regex=family != "llama-bpe")
    first = {"llama-bpe": [pre.Split(Regex(LLAMA3), "isolated")], "gpt-2": [],
             "smollm": [pre.Digits(individual_digits=True)]}[family]
    t.pre_tokenizer = pre.Sequence(first + [byte_level])
    name = f"tokenizers {tokenizers.__version__}, {family}"
    return name, lambda texts: [e.ids for e in t.encode_batch(texts, add_special_tokens=False)]


def of_sentencepiece(path):
    import sentencepiece
    sp = sentencepiece.SentencePieceProcessor(model_file=path)
    return "sentencepiece " + sentencepiece.__version__, lambda texts: [sp.encode(t) for t in texts]


REFERENCES = {"tiktoken": of_tiktoken, "hf": of_hf, "sentencepiece": of_sentencepiece}


def ids_of_program(command, texts):
    lines = "".join(json.dumps(t) + "\n" for t in texts)
    p = subprocess.run(command, input=lines.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if p.returncode:
        sys.exit(f"tokenizer_fuzz: {command[0]} failed: {p.stderr.decode().strip()}")
    return [json.loads(line) for line in p.stdout.splitlines()]


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("-n", type=int, default=1000000)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("reference", choices=REFERENCES)
    ap.add_argument("vocab")
    ap.add_argument("program", nargs="+")
    a = ap.parse_args()
    name, reference = REFERENCES[a.reference](a.vocab)
    r, begin, n_done, n_bad, n_ids = random.Random(a.seed), time.time(), 0, 0, 0
    while n_done < a.n:
        texts = [text(r) for _ in range(min(50000, a.n - n_done))]
        want, got = reference(texts), ids_of_program(a.program, texts)
        if len(got) != len(texts):
            sys.exit(f"tokenizer_fuzz: {len(got)} lines for {len(texts)} strings")
        for t, w, g in zip(texts, want, got):
            n_ids += len(w)
            if w != g:
                n_bad += 1
                if n_bad <= 10:
                    print(json.dumps({"text": t, "want": w, "got": g}))
        n_done += len(texts)
    print(f"{name}: {n_done} strings, {n_ids} ids, {n_bad} differ, {time.time() - begin:.0f} s")
    return n_bad > 0


if __name__ == "__main__":
    sys.exit(main())
