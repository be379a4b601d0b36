#!/usr/bin/env python3
"""Small Llama models in every form we read, with the logits that transformers gives for them.

    model.py OUT                      the golden models (committed: tests/golden/model)
    model.py --big OUT TOKENIZER      a model of Llama 3.2's shape but 64 wide, with its 128,256
                                      tokens, as GGUF, Hugging Face and Meta directory
                                      (TOKENIZER: Meta's tokenizer.model; tests/model/test_long_forms)

Made with torch 2.15.0, transformers 5.23.0, gguf 0.19.0, tokenizers 0.23.3 (printed at each run).
Weights are random (seed below), rounded to the type that is stored; logits are float32 arithmetic
on the stored values. logits.json has, for each model, the token ids of one sequence and the logits
of some of its rows.
"""
import argparse
import json
import os
import shutil

import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

SEED = 20240418
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIALS = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
            "<|eot_id|>"]
TEXT = ("A small model learns nothing from a small text, but a tokenizer does: the letters that stand "
        "together often are merged, the merged ones are merged again, and so on until the table is full.")


def random_weights(model, dtype):
    """Weights that keep the size of activations, and logits of a standard deviation near 2."""
    g = torch.Generator().manual_seed(SEED)
    for name, p in model.named_parameters():
        x = torch.randn(p.shape, generator=g)
        if p.dim() == 1:
            x = 0.2 * x + (0 if name.endswith("bias") else 1)
        elif "embed_tokens" in name or "lm_head" in name:
            x = x * 2 / p.shape[1] ** 0.5
        else:
            x = x / p.shape[1] ** 0.5
        p.data = x.to(dtype).to(torch.float32)


def make(config, dtype):
    model = LlamaForCausalLM(config).to(torch.float32).eval()
    random_weights(model, dtype)
    if config.tie_word_embeddings:
        model.tie_weights()
    return model


def weights_of(model):
    w = {k: v.detach().clone() for k, v in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        w.pop("lm_head.weight", None)
    return w


def logits_of(model, n_tok, rows):
    g = torch.Generator().manual_seed(SEED + 1)
    ids = torch.randint(0, model.config.vocab_size, (1, n_tok), generator=g)
    with torch.no_grad():
        out = model(ids).logits[0]
    return {"tokens": ids[0].tolist(), "rows": rows,
            "logits": [[round(float(x), 5) for x in out[r]] for r in rows],
            "argmax": out.argmax(-1).tolist()}


# ---- forms ----

def tiny_tokenizer():
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.add_special_tokens(SPECIALS)
    return t


def write_json(path, obj):
    with open(path, "w") as f:
        json.dump(obj, f, indent=1)
        f.write("\n")


def write_hf(path, model, config_json, dtype, tokenizer=None, n_shards=1):
    os.makedirs(path, exist_ok=True)
    write_json(f"{path}/config.json", config_json)
    w = {k: v.to(dtype).contiguous() for k, v in weights_of(model).items()}
    names = sorted(w)
    if n_shards == 1:
        save_file(w, f"{path}/model.safetensors", metadata={"format": "pt"})
    else:
        where = {}
        for i in range(n_shards):
            file = f"model-{i + 1:05d}-of-{n_shards:05d}.safetensors"
            part = {k: w[k] for k in names[i::n_shards]}
            save_file(part, f"{path}/{file}", metadata={"format": "pt"})
            where.update({k: file for k in part})
        total = sum(v.numel() * v.element_size() for v in w.values())
        write_json(f"{path}/model.safetensors.index.json",
                   {"metadata": {"total_size": total}, "weight_map": where})
    if tokenizer:
        tokenizer.save(f"{path}/tokenizer.json", pretty=False)
        eos = tokenizer.token_to_id("<|eot_id|>")
        write_json(f"{path}/tokenizer_config.json",
                   {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>",
                    "tokenizer_class": "PreTrainedTokenizerFast"})
        write_json(f"{path}/generation_config.json", {"eos_token_id": [eos]})


def interleave(w, n_heads):
    """Rows of q or k (or a bias) from transformers' order to Meta's: spec/llama3.md 1.5."""
    rest = w.shape[1:]
    return w.reshape(n_heads, 2, -1, *rest).transpose(1, 2).reshape(w.shape).contiguous()


META_NAMES = {"self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk",
              "self_attn.v_proj": "attention.wv", "self_attn.o_proj": "attention.wo",
              "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
              "mlp.up_proj": "feed_forward.w3", "input_layernorm": "attention_norm",
              "post_attention_layernorm": "ffn_norm", "model.embed_tokens": "tok_embeddings",
              "model.norm": "norm", "lm_head": "output"}
GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
              "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
              "mlp.gate_proj": "ffn_gate", "mlp.down_proj": "ffn_down", "mlp.up_proj": "ffn_up",
              "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
              "model.embed_tokens": "token_embd", "model.norm": "output_norm",
              "lm_head": "output", "model.layers.": "blk."}


def renamed(model, names):
    c, out = model.config, {}
    for k, v in weights_of(model).items():
        if "q_proj" in k:
            v = interleave(v, c.num_attention_heads)
        if "k_proj" in k:
            v = interleave(v, c.num_key_value_heads)
        for a, b in names.items():
            k = k.replace(a, b)
        out[k] = v
    return out


def write_meta(path, model, params, dtype, n_shards, embeds_by_cols=False):
    os.makedirs(path, exist_ok=True)
    write_json(f"{path}/params.json", params)
    w = {k.replace("model.", ""): v.to(dtype) for k, v in renamed(model, META_NAMES).items()}
    for i in range(n_shards):
        part = {}
        for k, v in w.items():
            by_cols = k.endswith(("wo.weight", "w2.weight"))
            if embeds_by_cols and k.startswith("tok_embeddings"):
                by_cols = True
            if v.dim() == 2:
                v = v.chunk(n_shards, dim=1 if by_cols else 0)[i]
            part[k] = v.contiguous().clone()
        part["rope.freqs"] = torch.ones(4)
        torch.save(part, f"{path}/consolidated.{i:02d}.pth")


def llama3_divisors(c):
    p = c.rope_parameters
    d = c.head_dim
    f = 1.0 / (p["rope_theta"] ** (np.arange(0, d, 2) / d))
    wave, orig = 2 * np.pi / f, p["original_max_position_embeddings"]
    low, high, factor = p["low_freq_factor"], p["high_freq_factor"], p["factor"]
    s = (orig / wave - low) / (high - low)
    mid = 1 / ((1 - s) / factor + s)
    return np.where(wave < orig / high, 1, np.where(wave > orig / low, factor, mid)).astype(np.float32)


def write_gguf(path, model, kind, tokenizer=None, name="tiny"):
    """`kind`: the type of matrices. Norms are F32."""
    c = model.config
    w = gguf.GGUFWriter(path, "llama")
    w.add_name(name)
    w.add_string("general.license", "llama3.1")
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    w.add_rope_dimension_count(c.head_dim)
    w.add_key_length(c.head_dim)
    w.add_value_length(c.head_dim)
    w.add_vocab_size(c.vocab_size)
    if tokenizer:
        j = json.loads(tokenizer.to_str())
        size = c.vocab_size
        tokens, kinds = [f"[UNUSED{i}]" for i in range(size)], [5] * size
        for t, i in j["model"]["vocab"].items():
            tokens[i], kinds[i] = t, 1
        for t in j["added_tokens"]:
            tokens[t["id"]], kinds[t["id"]] = t["content"], 3
        w.add_tokenizer_model("gpt2")
        w.add_tokenizer_pre("llama-bpe")
        w.add_token_list(tokens)
        w.add_token_types(kinds)
        w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in j["model"]["merges"]])
        w.add_bos_token_id(tokenizer.token_to_id("<|begin_of_text|>"))
        w.add_eos_token_id(tokenizer.token_to_id("<|eot_id|>"))
    if c.rope_parameters["rope_type"] == "llama3":
        w.add_tensor("rope_freqs.weight", llama3_divisors(c))
    back = {}
    for k, v in renamed(model, GGUF_NAMES).items():
        x = v.numpy()
        t = kind if x.ndim == 2 else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(x, t)
        w.add_tensor(k, data, raw_dtype=t)
        back[k] = gguf.quants.dequantize(data, t).reshape(x.shape)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return back


def with_weights(model, back):
    """A copy of the model with the dequantized weights of a GGUF file."""
    other = LlamaForCausalLM(model.config).to(torch.float32).eval()
    state = {}
    for k, v in weights_of(model).items():
        g = k
        for a, b in GGUF_NAMES.items():
            g = g.replace(a, b)
        x = torch.from_numpy(np.ascontiguousarray(back[g]))
        n = {"q_proj": model.config.num_attention_heads, "k_proj": model.config.num_key_value_heads}
        for part, heads in n.items():
            if part in k:
                x = x.reshape(heads, -1, 2, *x.shape[1:]).transpose(1, 2).reshape(x.shape)
        state[k] = x
    other.load_state_dict(state, strict=False)
    if model.config.tie_word_embeddings:
        other.tie_weights()
    return other


# ---- the golden models ----

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32, "rope_theta": 10000.0}


def config(**more):
    base = dict(vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=3,
                num_attention_heads=4, num_key_value_heads=2, head_dim=8,
                max_position_embeddings=256, rms_norm_eps=1e-5, tie_word_embeddings=False)
    base.update(more)
    return LlamaConfig(**base)


def config_json(c, rope_scaling=None, **more):
    """As transformers 4 wrote it: rope_theta and rope_scaling beside each other."""
    keys = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
            "num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings",
            "rms_norm_eps", "tie_word_embeddings", "attention_bias", "mlp_bias", "hidden_act"]
    j = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    j.update({k: getattr(c, k) for k in keys})
    j["rope_theta"] = c.rope_parameters["rope_theta"]
    j["rope_scaling"] = rope_scaling
    j.update(more)
    return j


def golden(out):
    want, tok = {}, tiny_tokenizer()

    c = config(rope_parameters=dict(LLAMA3))
    m = make(c, torch.bfloat16)
    scaling = {k: v for k, v in LLAMA3.items() if k != "rope_theta"}
    write_hf(f"{out}/llama3", m, config_json(c, scaling), torch.bfloat16, tok, n_shards=2)
    rows = [0, 1, 31, 32, 63, 79]
    want["llama3"] = logits_of(m, 80, rows)
    with open(f"{out}/llama3/README.md", "w") as f:
        f.write("---\nlicense: llama3.1\nmodel_name: \"Tiny three\"\n---\nRandom weights.\n")
    for kind, name in ((gguf.GGMLQuantizationType.F16, "f16"), (gguf.GGMLQuantizationType.Q8_0, "q8_0")):
        back = write_gguf(f"{out}/llama3-{name}.gguf", m, kind, tok)
        want[f"llama3-{name}.gguf"] = logits_of(with_weights(m, back), 80, rows)

    c = config(num_hidden_layers=2, head_dim=16, tie_word_embeddings=True, attention_bias=True,
               mlp_bias=True, rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0})
    m = make(c, torch.float16)
    j = config_json(c)
    del j["rope_theta"], j["rope_scaling"]  # as transformers 5 writes it
    j["rope_parameters"] = dict(c.rope_parameters)
    write_hf(f"{out}/bias", m, j, torch.float16)
    want["bias"] = logits_of(m, 40, [0, 7, 39])

    c = config(num_hidden_layers=1, hidden_size=16, head_dim=4, intermediate_size=32, vocab_size=128,
               max_position_embeddings=16,
               rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0})
    m = make(c, torch.float32)
    write_hf(f"{out}/dynamic", m, config_json(c, {"type": "dynamic", "factor": 2.0}), torch.float32)
    want["dynamic"] = logits_of(m, 40, [0, 15, 39])

    scaled = dict(LLAMA3, original_max_position_embeddings=8192)
    c = config(intermediate_size=96, rope_parameters=scaled)
    m = make(c, torch.bfloat16)
    params = {"dim": 32, "n_layers": 3, "n_heads": 4, "n_kv_heads": 2, "vocab_size": 320,
              "multiple_of": 32, "ffn_dim_multiplier": 1.1, "norm_eps": 1e-5, "rope_theta": 10000.0,
              "use_scaled_rope": True}
    write_meta(f"{out}/meta", m, params, torch.bfloat16, 2)
    want["meta"] = logits_of(m, 70, [0, 33, 69])

    c = config(num_hidden_layers=1, hidden_size=16, head_dim=4, num_key_value_heads=4,
               intermediate_size=48, vocab_size=128,
               rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    m = make(c, torch.float16)
    write_meta(f"{out}/meta-old", m, {"dim": 16, "multiple_of": 16, "n_heads": 4, "n_layers": 1,
                                      "norm_eps": 1e-5, "vocab_size": -1}, torch.float16, 2, True)
    want["meta-old"] = logits_of(m, 20, [0, 19])
    with open(f"{out}/logits.json", "w") as f:
        json.dump(want, f, separators=(",", ":"))
        f.write("\n")


# ---- the big one ----

def big_tokenizer(path):
    from transformers.convert_slow_tokenizer import TikTokenConverter
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>",
             "<|reserved_special_token_1|>", "<|finetune_right_pad_id|>",
             "<|reserved_special_token_2|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>",
             "<|eot_id|>", "<|python_tag|>"]
    names += [f"<|reserved_special_token_{i}|>" for i in range(3, 3 + 256 - len(names))]
    t = TikTokenConverter(vocab_file=path, pattern=SPLIT, extra_special_tokens=names).converted()
    assert t.token_to_id("<|eot_id|>") == 128009 and t.get_vocab_size() == 128256
    return t


def big(out, tokenizer_model):
    os.makedirs(out, exist_ok=True)
    tok = big_tokenizer(tokenizer_model)
    scaled = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 8192, "rope_theta": 500000.0}
    c = config(vocab_size=128256, hidden_size=64, intermediate_size=256, num_hidden_layers=4,
               num_attention_heads=8, num_key_value_heads=2, max_position_embeddings=131072,
               rope_parameters=scaled)
    m = make(c, torch.bfloat16)
    scaling = {k: v for k, v in scaled.items() if k != "rope_theta"}
    write_hf(f"{out}/hf", m, config_json(c, scaling), torch.bfloat16, tok, n_shards=3)
    write_gguf(f"{out}/model-bf16.gguf", m, gguf.GGMLQuantizationType.BF16, tok)
    write_meta(f"{out}/meta", m, {"dim": 64, "n_layers": 4, "n_heads": 8, "n_kv_heads": 2,
                                  "vocab_size": 128256, "multiple_of": 256, "ffn_dim_multiplier": 1.0,
                                  "norm_eps": 1e-5, "rope_theta": 500000.0, "use_scaled_rope": True},
               torch.bfloat16, 2)
    shutil.copy(tokenizer_model, f"{out}/meta/tokenizer.model")
    want = logits_of(m, 200, [0, 100, 199])
    want["text"] = TEXT
    want["ids"] = tok.encode(TEXT, add_special_tokens=False).ids
    with open(f"{out}/logits.json", "w") as f:
        json.dump({"big": want}, f)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--big", action="store_true")
    p.add_argument("out")
    p.add_argument("tokenizer", nargs="?")
    a = p.parse_args()
    print("torch", torch.__version__, "transformers", transformers.__version__, "gguf",
          getattr(gguf, "__version__", "?"))
    torch.set_num_threads(1)
    if a.big:
        big(a.out, a.tokenizer)
    else:
        golden(a.out)


if __name__ == "__main__":
    main()
