#!/usr/bin/env python3
"""What we export, as the reference libraries read it.

    export.py --golden OUT            writes OUT/imatrix.gguf (committed: tests/golden/model)
    export.py --check TOOL GOLDEN     exports the golden models with TOOL (tests/model/export_tool) and
                                      compares: logits of Hugging Face directories by transformers,
                                      tensors of GGUF files by the gguf package, ids by tokenizers.
                                      Prints TAP.

Made with torch 2.15.0, transformers 5.24.0, gguf 0.19.0, tokenizers 0.23.3 (printed at each run).
"""
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import tokenizers
import torch
import transformers
from transformers import AutoTokenizer, LlamaForCausalLM

from model import GGUF_NAMES, TEXT, interleave

N = 0


def say(ok, name, why=""):
    global N
    N += 1
    print(f"{'ok' if ok else 'not ok'} {N} - {name}{'' if ok else ': ' + str(why)}")


# ---- golden ----

def imatrix(path):
    """As llama-imatrix lays it out: sums of squares [1, k] and counts [1, 1]; experts in rows."""
    w = gguf.GGUFWriter(path, "")
    w.kv_data[0].pop("general.architecture", None)
    w.add_string("general.type", "imatrix")
    w.add_array("imatrix.datasets", ["wiki.train.raw"])
    w.add_uint32("imatrix.chunk_count", 2)
    w.add_uint32("imatrix.chunk_size", 512)

    def add(name, sums, counts):
        w.add_tensor(f"{name}.in_sum2", np.asarray(sums, np.float32))
        w.add_tensor(f"{name}.counts", np.asarray(counts, np.float32))

    add("blk.0.attn_q.weight", [[(i + 1) / 8 * 1024 for i in range(32)]], [[1024]])
    add("blk.2.ffn_down.weight", [[(64 - i) / 16 * 1000 for i in range(64)]], [[1000]])
    add("blk.0.ffn_gate_exps.weight", np.ones((2, 32)), [[5], [6]])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


# ---- checks ----

class Tool:
    def __init__(self, path):
        self.path = path

    def __call__(self, *args):
        r = subprocess.run([self.path, *map(str, args)], capture_output=True, text=True)
        if r.returncode:
            raise RuntimeError(r.stderr.strip())
        return args[1]


def load(path):
    return LlamaForCausalLM.from_pretrained(path, dtype=torch.float32, local_files_only=True).eval()


def check_logits(path, want, name, bound=2e-4):
    with torch.no_grad():
        out = load(path)(torch.tensor([want["tokens"]])).logits[0]
    worst = max(float((out[r] - torch.tensor(x)).abs().max())
                for r, x in zip(want["rows"], want["logits"]))
    say(worst < bound, f"{name}: transformers' logits (within {worst:.2g})", f"above {bound}")


def read_gguf(path):
    return {t.name: (gguf.quants.dequantize(t.data, t.tensor_type)
                     .reshape(list(reversed([int(x) for x in t.shape]))), t.tensor_type)
            for t in gguf.GGUFReader(path).tensors}


def check_tensors(path, hf, name):
    """The GGUF file has the weights of the Hugging Face directory, in its own order of rows."""
    m, got, bad = load(hf), read_gguf(path), []
    c = m.config
    for k, v in m.state_dict().items():
        if k == "lm_head.weight" and c.tie_word_embeddings:
            continue
        if "q_proj" in k:
            v = interleave(v, c.num_attention_heads)
        if "k_proj" in k:
            v = interleave(v, c.num_key_value_heads)
        for a, b in GGUF_NAMES.items():
            k = k.replace(a, b)
        if not np.array_equal(got.pop(k)[0], v.numpy()):
            bad.append(k)
    got.pop("rope_freqs.weight", None)
    say(not bad and not got, f"{name}: gguf's tensors", f"{bad} differ, {list(got)} are too many")


def ids(path):
    t = AutoTokenizer.from_pretrained(path, local_files_only=True)
    return t.encode(TEXT + " 12345 \u00e4\n\n<|eot_id|>x", add_special_tokens=False)


def check_golden(tool, golden, tmp):
    with open(f"{golden}/logits.json") as f:
        want = json.load(f)
    for name in sorted(want):
        base = f"{tmp}/{name.replace('.gguf', '')}"
        hf = tool(f"{golden}/{name}", f"{base}-hf", "hf", "f32" if "q8_0" in name else "-", "-", 30000)
        check_logits(hf, want[name], f"{name} to HF")
        file = tool(f"{golden}/{name}", f"{base}-a.gguf", "gguf", "f32")
        check_tensors(file, hf, f"{name} to GGUF")
        if name == "dynamic":  # has no place in GGUF
            continue
        back = tool(file, f"{base}-b", "hf")
        check_logits(back, want[name], f"{name} to GGUF to HF")
        if "llama3" in name:
            same = ids(back) == ids(f"{golden}/llama3")
            say(same, f"{name} to GGUF to HF: ids", f"{ids(back)}, expected {ids(f'{golden}/llama3')}")
            e = load(back).generation_config.eos_token_id
            eot = AutoTokenizer.from_pretrained(back).convert_tokens_to_ids("<|eot_id|>")
            say(eot in (e if isinstance(e, list) else [e]), f"{name}: eos of generation_config", e)


def write_wide(path, weights):
    w = gguf.GGUFWriter(path, "llama")
    w.add_block_count(1)
    w.add_context_length(64)
    w.add_embedding_length(256)
    w.add_feed_forward_length(512)
    w.add_head_count(4)
    w.add_head_count_kv(1)
    w.add_layer_norm_rms_eps(1e-5)
    for k, v in weights.items():
        w.add_tensor(k, v)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def wide_weights():
    g = np.random.default_rng(5)
    shapes = {"attn_q": (256, 256), "attn_k": (64, 256), "attn_v": (64, 256), "attn_output": (256, 256),
              "ffn_gate": (512, 256), "ffn_up": (512, 256), "ffn_down": (256, 512)}
    w = {f"blk.0.{k}.weight": g.standard_normal(s, np.float32) * 0.05 for k, s in shapes.items()}
    w |= {k: np.ones(256, np.float32) for k in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight",
                                               "output_norm.weight")}
    w |= {k: g.standard_normal((96, 256), np.float32) * 0.05 for k in ("token_embd.weight",
                                                                     "output.weight")}
    return w


# Relative error that a type of so many bits may have on normal weights.
RECIPES = {"f32": 0, "bf16": 0.003, "f16": 0.0005, "q8_0": 0.008, "q6_k": 0.03, "q5_k_m": 0.06,
           "q5_k_s": 0.06, "q5_1": 0.06, "q5_0": 0.06, "q4_k_m": 0.11, "q4_k_s": 0.11, "iq4_nl": 0.11,
           "iq4_xs": 0.11, "q4_1": 0.11, "q4_0": 0.12, "q3_k_l": 0.25, "q3_k_m": 0.25, "q3_k_s": 0.25,
           "q2_k": 0.45}


def check_recipes(tool, tmp):
    w = wide_weights()
    write_wide(f"{tmp}/wide.gguf", w)
    for recipe, bound in RECIPES.items():
        got = read_gguf(tool(f"{tmp}/wide.gguf", f"{tmp}/wide-{recipe}.gguf", "gguf", recipe))
        err = {k: float(np.sqrt(((got[k][0] - v) ** 2).sum() / (v ** 2).sum())) for k, v in w.items()}
        k = max(err, key=err.get)
        say(got.keys() == w.keys() and err[k] <= bound,
            f"{recipe}: gguf reads it back (error {err[k]:.3g}, {got[k][1].name})", f"{k} above {bound}")


def check_imatrix(tool, golden, tmp):
    path = tool(f"{golden}/llama3", f"{tmp}/im.gguf", "imatrix", *range(1, 33))
    r = gguf.GGUFReader(path)
    t = {x.name: x for x in r.tensors}
    keys = ["general.type", "imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size"]
    say(all(k in r.fields for k in keys), "imatrix: the keys that llama.cpp asks for", list(r.fields))
    say(bytes(r.fields["general.type"].parts[-1]) == b"imatrix", "imatrix: general.type")
    m, seen = load(f"{golden}/llama3"), {}
    layer = m.model.layers[1]
    layer.mlp.down_proj.register_forward_hook(lambda _m, x, _y: seen.update(down=x[0][0]))
    layer.self_attn.q_proj.register_forward_hook(lambda _m, x, _y: seen.update(q=x[0][0]))
    with torch.no_grad():
        m(torch.tensor([list(range(1, 33))]))
    for name, key in (("blk.1.ffn_down.weight", "down"), ("blk.1.attn_q.weight", "q")):
        got = t[name + ".in_sum2"].data.reshape(-1)
        want = (seen[key] ** 2).sum(0).numpy()
        count = float(t[name + ".counts"].data.reshape(-1)[0])
        say(count == 32 and np.allclose(got, want, rtol=1e-3), f"imatrix: sums of {name}", got - want)
    tool(f"{golden}/llama3", f"{tmp}/imq.gguf", "gguf", "q4_0", path)
    say(True, "imatrix: quantizes the model")


def check(tool, golden):
    print("# torch", torch.__version__, "transformers", transformers.__version__, "gguf",
          importlib.metadata.version("gguf"), "tokenizers", tokenizers.__version__)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as tmp:
        check_golden(tool, golden, tmp)
        check_recipes(tool, tmp)
        check_imatrix(tool, golden, tmp)
    print(f"1..{N}")


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--golden":
        imatrix(f"{sys.argv[2]}/imatrix.gguf")
    elif len(sys.argv) == 4 and sys.argv[1] == "--check":
        check(Tool(os.path.abspath(sys.argv[2])), sys.argv[3])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
