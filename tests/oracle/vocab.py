#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden tokenizers for formats/vocab_*.c, and the check of what Cria writes.

    vocab.py tests/golden/formats            makes vocab_NAME/ and vocab.json
    vocab.py --check DIR [--llama BIN]       DIR: what tests/formats/test_vocab wrote with
                                             CRIA_KEEP_WRITTEN=DIR; BIN: llama.cpp's llama-tokenize

Each vocab_NAME is a small tokenizer in one of the forms that the Llama world publishes, trained here
on a few lines and saved by transformers (the merges of vocab_smollm and vocab_llama2_old are turned into
the old "a b" form).
vocab.json has the ids that transformers gives, with and without its special tokens; "model": the ids
of sentencepiece for vocab_llama2/tokenizer.model, without.

--check loads each DIR/NAME with AutoTokenizer and reads DIR/NAME.gguf; the ids of the texts in
DIR/NAME.jsonl (Cria's) must come out.

Made with transformers 5.24.0, tokenizers 0.23.3, sentencepiece 0.2.3 (printed at each run).
"""
import argparse
import glob
import io
import json
import os
import shutil
import subprocess
import sys

import sentencepiece
import tokenizers
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
CORPUS = """A small model learns nothing from a small text, but a tokenizer does: the letters that stand
together often become one token, then the words. It doesn't need more than this; we'll see that they've
been merged, and I'm sure that you'd agree. In 2024 there were 365 days, 52 weeks and 12 months.
The quick brown fox jumps over the lazy dog. The naïve café serves crème brûlée. Привет, мир.
  def main(argc):
      return argc + 1  # the end
"""
TEXTS = ["", " ", "  ", "\n", "\n\n", " \n", "a", " a", "Hello", "Hello, world!", "The letters that stand together",
         " leading", "trailing ", "two  spaces   and three", "it doesn't, WE'LL, they've", "12 123 1234 12345",
         "3.14159", "x1y22z333", "café naïve crème", "Привет, мир", "日本語", "\U0001f600 ok", "e\u0301", "\u00a0x",
         "\t\tif (x == 10) {\n\t\t\treturn 0;\n\t}\n", "a\r\nb", "    indent\n        more", "<|eot_id|>", "</s>",
         "<s>", "<0x0A>", "\u2581", "a\u2581b", "[INST] hi [/INST]", "snake_case camelCase", "...", "(((", "\x00",
         "<|tool|>", "word <|tool|> word"]


def byte_level(split, use_regex):
    return pre.Sequence(split + [pre.ByteLevel(add_prefix_space=False, use_regex=use_regex)])


def train_bpe(pre_tokenizer, specials, ignore_merges=False):
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    t.pre_tokenizer = pre_tokenizer
    t.decoder = decoders.ByteLevel()
    # gpt-2 and smollm have their specials first, Llama 3 behind the others
    first = specials if not ignore_merges else []
    t.train_from_iterator(CORPUS.split("\n"), trainers.BpeTrainer(
        vocab_size=380 + len(first), initial_alphabet=pre.ByteLevel.alphabet(), special_tokens=first,
        show_progress=False))
    t.add_special_tokens(specials)
    return t


def save(t, path, **settings):
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=t, **settings)
    fast.save_pretrained(path)


def write_json(path, x):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(x, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")


def make_llama3(path):
    specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    t = train_bpe(byte_level([pre.Split(Regex(LLAMA3), "isolated")], False), specials, True)
    bos = specials[0]
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos} $B:1",
                                      special_tokens=[(bos, t.token_to_id(bos))])])
    t.add_tokens([AddedToken("<|tool|>", normalized=False)])
    save(t, path, bos_token=bos, eos_token="<|eot_id|>",
         chat_template="{{ bos_token }}<|start_header_id|>...<|eot_id|>")
    write_json(f"{path}/generation_config.json", {"bos_token_id": t.token_to_id(bos), "eos_token_id": [
        t.token_to_id("<|end_of_text|>"), t.token_to_id("<|eot_id|>")]})


def make_gpt2(path):
    t = train_bpe(pre.ByteLevel(add_prefix_space=False), ["<|endoftext|>"])
    save(t, path, bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>")


def make_smollm(path):
    t = train_bpe(byte_level([pre.Digits(individual_digits=True)], True),
                  ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    save(t, path, bos_token="<|im_start|>", eos_token="<|im_end|>", unk_token="<|endoftext|>",
         pad_token="<|im_end|>")
    file = f"{path}/tokenizer.json"
    j = json.load(open(file, encoding="utf-8"))
    j["model"]["merges"] = [" ".join(m) for m in j["model"]["merges"]]
    write_json(file, j)


def make_llama2(path):
    os.makedirs(path)
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.split("\n")), model_writer=out, model_type="bpe", vocab_size=440,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        split_digits=True, allow_whitespace_only_pieces=True, character_coverage=0.99,
        minloglevel=2)
    with open(f"{path}/tokenizer.model", "wb") as f:
        f.write(out.getvalue())
    vocab, merges = converted(f"{path}/tokenizer.model")
    transformers.LlamaTokenizer(vocab=vocab, merges=merges, legacy=True, add_bos_token=True).save_pretrained(path)


def converted(model):
    """Pieces and all their splits, as converters publish them (spec/llama3.md 2.9)."""
    sp = sentencepiece.SentencePieceProcessor(model_file=model)
    vocab = {sp.id_to_piece(i): i for i in range(sp.vocab_size())}
    merges = []
    for piece in sorted(vocab, key=lambda x: -sp.get_score(vocab[x])):
        if sp.is_byte(vocab[piece]) or sp.is_control(vocab[piece]) or sp.is_unknown(vocab[piece]):
            continue
        cuts = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in vocab and piece[i:] in vocab]
        merges += sorted(cuts, key=lambda c: (vocab[c[0]], vocab[c[1]]))
    return vocab, merges


def make_llama2_old(path):
    """The same vocabulary in the form of transformers 4: a normalizer, merges as strings."""
    vocab, merges = converted(os.path.dirname(path) + "/vocab_llama2/tokenizer.model")
    t = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    t.add_special_tokens([AddedToken(x, normalized=False) for x in ("<unk>", "<s>", "</s>")])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B:1",
                                                     special_tokens=[("<s>", 1)])
    save(t, path, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    file = f"{path}/tokenizer.json"
    j = json.load(open(file, encoding="utf-8"))
    j["model"]["merges"] = [" ".join(m) for m in j["model"]["merges"]]
    write_json(file, j)


MAKERS = {"llama3": make_llama3, "gpt2": make_gpt2, "smollm": make_smollm, "llama2": make_llama2,
          "llama2_old": make_llama2_old}


def make(out):
    golden = {"by": f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}, "
                    f"sentencepiece {sentencepiece.__version__}", "vocabs": []}
    for name, maker in MAKERS.items():
        path = f"{out}/vocab_{name}"
        shutil.rmtree(path, ignore_errors=True)
        maker(path)
        t = transformers.AutoTokenizer.from_pretrained(path)
        row = {"name": f"vocab_{name}", "tokens": len(t), "bos": t.bos_token_id, "eos": t.eos_token_id,
               "cases": []}
        model = f"{path}/tokenizer.model"
        sp = sentencepiece.SentencePieceProcessor(model_file=model) if os.path.exists(model) else None
        for text in TEXTS:
            case = {"text": text, "with": t(text)["input_ids"], "without": t(text, add_special_tokens=False)["input_ids"]}
            if sp:
                case["model"] = sp.encode(text)
            if sp and text.startswith((" ", "\u2581")):  # Metaspace marks no text that begins so
                del case["with"], case["without"]
            if t.bos_token and text.startswith(t.bos_token):  # Cria never doubles BOS
                case.pop("with", None)
            row["cases"].append(case)
        golden["vocabs"].append(row)
    write_json(f"{out}/vocab.json", golden)


# ---- what we wrote ----

def of_llama(tool, path, text):
    p = subprocess.run([tool, "-m", path, "--ids", "--no-parse-special", "--stdin", "--log-disable"], input=text.encode(),
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return json.loads(p.stdout)


def check(out, llama):
    import gguf
    n = 0
    for file in sorted(glob.glob(f"{out}/*.jsonl")):
        name = file[:-len(".jsonl")]
        t = transformers.AutoTokenizer.from_pretrained(name)
        fields = gguf.GGUFReader(name + ".gguf").fields
        tokens = fields["tokenizer.ggml.tokens"].contents()
        kinds = fields["tokenizer.ggml.token_type"].contents()
        for i, token in enumerate(tokens):
            if kinds[i] not in (5, 6):
                assert t.convert_tokens_to_ids(token) == i, (name, i, token)
        for key, want in (("bos", t.bos_token_id), ("eos", t.eos_token_id)):
            field = fields.get(f"tokenizer.ggml.{key}_token_id")
            assert (field.contents() if field else None) == want, (name, key)
        for line in open(file, encoding="utf-8"):
            row = json.loads(line)
            got = t(row["text"], add_special_tokens=True)["input_ids"]
            if len(got) > 1 and got[0] == got[1] == t.bos_token_id and len(row["ids"]) == len(got) - 1:
                got = got[1:]  # Cria never doubles BOS
            assert got == row["ids"], (name, row["text"], got, row["ids"])
            if llama and row["text"]:
                got = of_llama(llama, name + ".gguf", row["text"])
                assert got == row["llama"], (name, "llama.cpp", row["text"], got, row["llama"])
            n += 1
        print(os.path.basename(name), "equal")
    print(f"{n} texts equal in transformers {transformers.__version__}" + (" and llama.cpp" if llama else ""))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("dir")
    p.add_argument("--check", action="store_true")
    p.add_argument("--llama")
    a = p.parse_args()
    print("transformers", transformers.__version__, "tokenizers", tokenizers.__version__, "sentencepiece",
          sentencepiece.__version__, file=sys.stderr)
    if a.check:
        check(a.dir, a.llama)
    else:
        make(a.dir)


if __name__ == "__main__":
    main()
