#!/usr/bin/env python3
"""Small right files from which the fuzz targets of the text readers start: fuzz_seeds.py CORPUS_DIR

Each vocabulary has the 256 bytes, two or three merges and two specials, in every form that
formats/tokenizer_files.h reads. The files of gguf, safetensors and torch_file are golden files of
formats.py. Made with Python 3.11; tokenizer.json files load in tokenizers, spm.model in
sentencepiece (checked when those are installed).
"""
import base64
import json
import os
import struct
import sys

SPECIALS = {"<|begin_of_text|>": 259, "<|eot_id|>": 260}
MERGES = [("a", "b"), ("ab", "c"), ("Ġ", "a")]


def byte_spelling():
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    rest = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(rest)}


BPE = [byte_spelling()[b] for b in range(256)] + ["ab", "abc", "Ġa"]
SPM = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + ["▁", "a", "b", "▁a", "ab"]


def spm_kind(i):
    return 2 if i == 0 else 3 if i < 3 else 6 if i < 259 else 1


def spm_score(i):
    return float(0 if i < 259 else 259 - i)


# ---- tokenizer.json ----

def added(i, text):
    return {"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True}


def bpe_json(new):
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    regex = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
             r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    bos = "<|begin_of_text|>"
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added(i, t) for t, i in SPECIALS.items()], "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False},
            level]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {bos: {"id": bos, "ids": [259], "tokens": [bos]}}},
        "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "ignore_merges": new, "vocab": {t: i for i, t in enumerate(BPE)},
                  "merges": [list(m) if new else " ".join(m) for m in MERGES]}}


def spm_json():
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added(i, SPM[i]) for i in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": None, "post_processor": None, "decoder": None,
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "fuse_unk": True,
                  "byte_fallback": True, "vocab": {t: i for i, t in enumerate(SPM)},
                  "merges": ["▁ a", "a b"]}}


# ---- tokenizer.model ----

def tiktoken():
    raw = [bytes([b]) for b in range(256)] + [b"ab", b"abc", b" a"]
    return b"".join(base64.b64encode(t) + b" %d\n" % i for i, t in enumerate(raw))


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def sentencepiece_model():
    pieces = b"".join(
        field(1, field(1, t.encode()) + varint(2 << 3 | 5) + struct.pack("<f", spm_score(i)) +
              varint(3 << 3) + varint(spm_kind(i))) for i, t in enumerate(SPM))
    trainer = varint(3 << 3) + varint(2) + varint(35 << 3) + varint(1)  # BPE, byte fallback
    normalizer = field(1, b"identity") + varint(3 << 3) + varint(1) + varint(4 << 3) + varint(0)
    return pieces + field(2, trainer) + field(3, normalizer)


# ---- GGUF ----

def string(x):
    return struct.pack("<Q", len(x.encode())) + x.encode()


def gguf(rows, version=3, tensors=()):
    kinds = {"u32": (4, "<I"), "f32": (6, "<f"), "i32": (5, "<i"), "bool": (7, "<B"), "u16": (2, "<H")}
    out = b""
    for key, kind, value in rows:
        one = (lambda v: string(v)) if kind == "str" else (lambda v: struct.pack(kinds[kind][1], v))
        number = 8 if kind == "str" else kinds[kind][0]
        if isinstance(value, list):
            out += string(key) + struct.pack("<IIQ", 9, number, len(value)) + b"".join(map(one, value))
        else:
            out += string(key) + struct.pack("<I", number) + one(value)
    data = b""
    for name, shape, values in tensors:  # of floats; GGUF names the fastest dimension first
        out += string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), 0, len(data))
        data += struct.pack(f"<{len(values)}f", *values)
        data += bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(rows)) + out
    return head + bytes(-len(head) % 32) + data if tensors else head


# ---- adapters for the model of tests/infer/tiny_model.c ----

def lora_parts(rank):
    """The matrices of two products: name in PEFT, in GGUF, rows, columns."""
    wide, high = 64, 32
    for peft, name, n_out in (("model.layers.0.self_attn.q_proj", "blk.0.attn_q.weight", wide),
                              ("model.layers.1.self_attn.v_proj", "blk.1.attn_v.weight", high)):
        yield f"base_model.model.{peft}.lora_A.weight", name + ".lora_a", rank, wide
        yield f"base_model.model.{peft}.lora_B.weight", name + ".lora_b", n_out, rank


def lora_peft(dtype, pack, rank, config):
    header, data = {}, b""
    for name, _, rows, cols in lora_parts(rank):
        one = b"".join(struct.pack(*pack(i % 7 - 3)) for i in range(rows * cols))
        header[name] = {"dtype": dtype, "shape": [rows, cols], "data_offsets": [len(data), len(data) + len(one)]}
        data += one
    return b"\n".join([json.dumps(config).encode(), json.dumps(header).encode(), data])


LORA_CONFIG = {"peft_type": "LORA", "lora_alpha": 4, "r": 2, "bias": "none", "target_modules": ["q_proj", "v_proj"]}
LORA_GGUF = [("general.type", "str", "adapter"), ("general.architecture", "str", "llama"),
             ("adapter.type", "str", "lora"), ("adapter.lora.alpha", "f32", 4.0)]


T = "tokenizer."
GGUF_BPE = [
    ("general.architecture", "str", "llama"), (T + "ggml.model", "str", "gpt2"),
    (T + "ggml.pre", "str", "llama-bpe"), (T + "ggml.tokens", "str", BPE + list(SPECIALS)),
    (T + "ggml.token_type", "i32", [1] * 259 + [3] * 2),
    (T + "ggml.merges", "str", [" ".join(m) for m in MERGES]), (T + "ggml.bos_token_id", "u32", 259),
    (T + "ggml.eos_token_id", "u32", 260), (T + "ggml.add_bos_token", "bool", 1),
    (T + "chat_template", "str", "{{ bos_token }}<|start_header_id|>")]
GGUF_SPM = [
    ("general.architecture", "str", "llama"), (T + "ggml.model", "str", "llama"),
    (T + "ggml.tokens", "str", SPM), (T + "ggml.scores", "f32", [spm_score(i) for i in range(len(SPM))]),
    (T + "ggml.token_type", "i32", [spm_kind(i) for i in range(len(SPM))]),
    (T + "ggml.bos_token_id", "u32", 1), (T + "ggml.eos_token_id", "u32", 2),
    (T + "ggml.unknown_token_id", "u32", 0)]

# ---- configurations and templates ----

SCALING = {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
           "original_max_position_embeddings": 8192, "rope_type": "llama3"}
CONFIG = {"architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": 128000,
          "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu",
          "hidden_size": 2048, "intermediate_size": 8192, "max_position_embeddings": 131072,
          "mlp_bias": False, "model_type": "llama", "num_attention_heads": 32,
          "num_hidden_layers": 16, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
          "rope_scaling": SCALING, "rope_theta": 500000.0, "tie_word_embeddings": True,
          "torch_dtype": "bfloat16", "vocab_size": 128256}
V5 = {k: v for k, v in CONFIG.items() if not k.startswith("rope")}
CONFIGS = {
    "llama32": CONFIG, "linear": {**CONFIG, "rope_scaling": {"type": "linear", "factor": 2.0}},
    "dynamic": {**CONFIG, "rope_scaling": {"type": "dynamic", "factor": 2.0}},
    "v5": {**V5, "rope_parameters": {**SCALING, "rope_theta": 500000.0}},
    "params": {"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256,
               "multiple_of": 1024, "ffn_dim_multiplier": 1.3, "norm_eps": 1e-05,
               "rope_theta": 500000.0, "use_scaled_rope": True},
    "params_1": {"dim": 4096, "multiple_of": 256, "n_heads": 32, "n_layers": 32, "norm_eps": 1e-05,
                 "vocab_size": -1}}
TEMPLATES = {  # the words by which families are told apart, not whole templates
    "llama2": "{% if messages %}[INST] <<SYS>>\n{{ s }}\n<</SYS>>\n\n [/INST]{{ eos_token }}{% endif %}",
    "llama3": "{{ '<|start_header_id|>' + role + '<|end_header_id|>\n\n' + content | trim + '<|eot_id|>' }}",
    "llama31": "{% if tools_in_user_message %}<|start_header_id|>ipython<|end_header_id|>Cutting "
               "Knowledge Date: December 2023<|eot_id|>Environment: ipython{{ date_string }}{% endif %}",
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
              "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}",
    "zephyr": "{{ '<|user|>\n' + message['content'] + eos_token }}<|assistant|><|system|>"}


def main():
    top = sys.argv[1]

    def put(name, data):
        path = os.path.join(top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())

    def dump(x):
        return json.dumps(x, ensure_ascii=False, separators=(",", ":"))

    for name, data in (("new", bpe_json(True)), ("old", bpe_json(False)), ("spm", spm_json())):
        put(f"vocab_hf/{name}.json", dump(data))
    put("vocab_model/tiktoken.model", tiktoken())
    put("vocab_model/spm.model", sentencepiece_model())
    put("vocab_gguf/bpe.gguf", gguf(GGUF_BPE))
    put("vocab_gguf/spm.gguf", gguf(GGUF_SPM))
    put("gguf/vocab.gguf", gguf(GGUF_BPE[:3] + [("split.count", "u16", 1)], version=2))
    put("lora/f32", lora_peft("F32", lambda x: ("<f", x), 1, LORA_CONFIG))
    put("lora/bf16", lora_peft("BF16", lambda x: ("<H", struct.unpack("<I", struct.pack("<f", x))[0] >> 16), 2,
                               LORA_CONFIG | {"use_rslora": True, "modules_to_save": None}))
    put("lora/adapter.gguf", gguf(LORA_GGUF, tensors=[
        (name, (rows, cols), [float(i % 7 - 3) for i in range(rows * cols)]) for _, name, rows, cols in lora_parts(1)]))
    put("safetensors/one.json", dump({
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]},
        "b": {"dtype": "U8", "shape": [56], "data_offsets": [8, 64]}}))
    for name, data in CONFIGS.items():
        put(f"config/{name}.json", dump(data))
    for name, text in TEMPLATES.items():
        put(f"chat/{name}.jinja", text)
    try:
        import sentencepiece
        import tokenizers
    except ImportError:
        return
    for name in ("new", "old", "spm"):
        ids = tokenizers.Tokenizer.from_file(os.path.join(top, f"vocab_hf/{name}.json")).encode("abc a").ids
        print(name, ids)
    model = sentencepiece.SentencePieceProcessor(model_file=os.path.join(top, "vocab_model/spm.model"))
    print("spm.model", model.encode("ab a", out_type=str))


if __name__ == "__main__":
    main()
