#!/usr/bin/env python3
"""LoRA adapters by PEFT, and the logits that PEFT and transformers give with them.

    cria convert SmolLM2-135M-Instruct.Q4_1.gguf DIR --type f32
    lora.py DIR OUT                   OUT: tests/golden/lora (committed)

Made with torch 2.15.0, transformers 5.24.0, peft 0.21.2, gguf 0.19.0. Adapters are random (seed
below). `tiny` changes every product of tests/golden/model/llama3, also in GGUF as llama.cpp's
convert_lora_to_gguf lays it out: A as it is, rows of B of q and k in Meta's order. `smollm2` (rank
2, rsLoRA, bfloat16) changes four products of two layers of the default model. logits.json has, for
each, token ids and logits in float32: of rows 9, 14 and 19 without and with the adapter (tiny), every 997th
of the last row (smollm2).
"""
import json
import os
import shutil
import sys

import gguf
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

SEED = 20260
GGUF_NAME = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down"}


def adapter(model, config, dtype, path, size):
    """Makes, saves and returns the model with it."""
    m = get_peft_model(model, config)
    g = torch.Generator().manual_seed(SEED)
    for name, p in m.named_parameters():
        if "lora_" in name:
            p.data = (torch.randn(p.shape, generator=g) * size).to(dtype).to(torch.float32)
    shutil.rmtree(path, ignore_errors=True)
    m.save_pretrained(path, save_embedding_layers=False)
    file = os.path.join(path, "adapter_model.safetensors")
    save_file({k: v.to(dtype).contiguous() for k, v in load_file(file).items()}, file)
    with open(os.path.join(path, "adapter_config.json")) as f:
        saved = json.load(f)
    del saved["base_model_name_or_path"]  # a path of whoever ran this
    with open(os.path.join(path, "adapter_config.json"), "w") as f:
        json.dump(saved, f, indent=1)
        f.write("\n")
    if os.path.exists(os.path.join(path, "README.md")):
        os.remove(os.path.join(path, "README.md"))
    return m.eval()


def as_gguf(path, out, n_heads, n_kv_heads, alpha):
    w = gguf.GGUFWriter(out, "llama")
    w.add_type("adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", alpha)
    for name, t in sorted(load_file(os.path.join(path, "adapter_model.safetensors")).items()):
        stem = name.removeprefix("base_model.model.").removesuffix(".weight")
        stem, which = stem.rsplit(".", 1)
        if stem == "lm_head":
            to = "output"
        else:
            _, _, layer, module = stem.split(".", 3)
            to = f"blk.{layer}.{GGUF_NAME[module]}"
        heads = {"attn_q": n_heads, "attn_k": n_kv_heads}.get(to.rsplit(".", 1)[-1])
        if which == "lora_B" and heads:
            t = t.reshape(heads, 2, t.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(t.shape)
        w.add_tensor(f"{to}.weight.{which.lower()}", t.contiguous().numpy())
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def logits(model, tokens):
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0]


def rounded(x):
    return [round(float(v), 5) for v in x.flatten()]


def main(smollm2, out):
    os.makedirs(out, exist_ok=True)
    golden = os.path.join(os.path.dirname(out.rstrip("/")), "model", "llama3")
    tokens = [(i * 37 + 11) % 300 for i in range(20)]
    base = AutoModelForCausalLM.from_pretrained(golden, dtype=torch.float32).eval()
    plain = logits(base, tokens)
    config = LoraConfig(r=3, lora_alpha=5, task_type="CAUSAL_LM",
                        target_modules=[m.rsplit(".", 1)[1] for m in GGUF_NAME] + ["lm_head"])
    tiny = adapter(base, config, torch.float32, os.path.join(out, "tiny"), 0.3)
    as_gguf(os.path.join(out, "tiny"), os.path.join(out, "tiny.gguf"), 4, 2, 5.0)
    result = {"tiny": {"tokens": tokens, "base": rounded(plain[9::5]),
                       "adapted": rounded(logits(tiny, tokens)[9::5])}}

    tokens = [504, 2644, 2643, 335, 260, 1171, 284, 5328, 418, 260, 4255, 281, 260, 4480, 30]
    base = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32).eval()
    plain = logits(base, tokens)[-1, ::997]
    config = LoraConfig(r=2, lora_alpha=3, use_rslora=True, task_type="CAUSAL_LM", layers_to_transform=[3, 20],
                        target_modules=["q_proj", "v_proj", "o_proj", "down_proj"])
    big = adapter(base, config, torch.bfloat16, os.path.join(out, "smollm2"), 0.3)
    result["smollm2"] = {"tokens": tokens, "base": rounded(plain), "adapted": rounded(logits(big, tokens)[-1, ::997])}
    with open(os.path.join(out, "logits.json"), "w") as f:
        json.dump(result, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
