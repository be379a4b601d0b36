#!/usr/bin/env python3
"""Small files written by the reference libraries, for tests/formats; and a check of ours in them.

    formats.py OUT            writes the golden files into OUT (committed: tests/golden/formats)
    formats.py --check DIR    loads what tests/formats wrote into DIR (CRIA_KEEP_WRITTEN=DIR) with
                              the reference libraries and compares every value

Made with gguf 0.19.0, safetensors 0.8.0, torch 2.15.0, numpy 2.4.6 (printed at each run).
Every float tensor holds ramp(): element i of tensor number k is (i % 17) / 4 - k, which all of
F32, F16 and BF16 hold exactly, so that the tests in C need no list of numbers.
"""
import argparse
import json
import os
import pickle
import sys
import warnings
import zipfile

import gguf
import numpy as np
import safetensors
import safetensors.torch
import torch

warnings.filterwarnings("ignore")


def ramp(shape, k):
    n = int(np.prod(shape)) if shape else 1
    return ((np.arange(n) % 17) / 4 - k).astype(np.float32).reshape(shape)


def tramp(shape, k, dtype=torch.float32):
    return torch.from_numpy(ramp(shape, k)).to(dtype)


# ---- GGUF ----

def gguf_all(path):
    w = gguf.GGUFWriter(path, "llama")
    w.add_custom_alignment(64)
    w.add_uint8("t.u8", 200)
    w.add_int8("t.i8", -100)
    w.add_uint16("t.u16", 60000)
    w.add_int16("t.i16", -30000)
    w.add_uint32("t.u32", 4000000000)
    w.add_int32("t.i32", -2000000000)
    w.add_float32("t.f32", 0.5)
    w.add_bool("t.yes", True)
    w.add_bool("t.no", False)
    w.add_string("t.str", "grüße 😀")
    w.add_string("t.empty", "")
    w.add_uint64("t.u64", 2**64 - 1)
    w.add_int64("t.i64", -(2**62))
    w.add_float64("t.f64", -1e300)
    w.add_array("t.strs", ["a", "", "äöü", "end"])
    w.add_array("t.ints", [1, -2, 3])
    w.add_array("t.floats", [0.25, -0.5])
    w.add_array("t.bools", [True, False, True])
    for k, (name, shape) in enumerate([("one", (5,)), ("two", (3, 4)), ("three", (2, 3, 4)),
                                       ("four", (2, 2, 2, 3))]):
        w.add_tensor(name, ramp(shape, k))
    w.add_tensor("half", ramp((4, 8), 4).astype(np.float16))
    for k, (name, kind) in enumerate([("bf16", gguf.GGMLQuantizationType.BF16),
                                      ("q8_0", gguf.GGMLQuantizationType.Q8_0),
                                      ("q4_0", gguf.GGMLQuantizationType.Q4_0)]):
        w.add_tensor(name, gguf.quants.quantize(ramp((2, 64), 5 + k), kind), raw_dtype=kind)
    w.add_tensor("tq2_0", gguf.quants.quantize(ramp((1, 256), 1), gguf.GGMLQuantizationType.TQ2_0),
                 raw_dtype=gguf.GGMLQuantizationType.TQ2_0)
    w.add_tensor("longs", np.arange(6, dtype=np.int64))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def gguf_split(out):
    w = gguf.GGUFWriter(os.path.join(out, "split.gguf"), "llama", split_max_tensors=2)
    w.add_uint32("t.u32", 7)
    for k in range(5):
        w.add_tensor(f"tensor.{k}", ramp((2, 4), k))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


# ---- safetensors ----

def st_files(out):
    tensors = {
        "f32": tramp((3, 4), 0), "f16": tramp((2, 8), 1, torch.float16),
        "bf16": tramp((2, 2, 5), 2, torch.bfloat16), "u8": torch.arange(3, dtype=torch.uint8),
        "i64": torch.arange(4), "scalar": torch.tensor(1.5), "empty": torch.zeros(0, 4),
        "fp8": tramp((4,), 0).to(torch.float8_e4m3fn), "bool": torch.tensor([True, False]),
        "five": tramp((1, 1, 1, 1, 2), 3),
    }
    safetensors.torch.save_file(tensors, os.path.join(out, "types.safetensors"),
                                metadata={"format": "pt", "note": "naïve"})
    d = os.path.join(out, "sharded")
    os.makedirs(d, exist_ok=True)
    names, total = {}, 0
    for s in range(2):
        part = {f"layer.{s}.{n}": tramp((2, 3), 2 * s + i) for i, n in enumerate("ab")}
        f = f"model-{s + 1:05d}-of-00002.safetensors"
        safetensors.torch.save_file(part, os.path.join(d, f), metadata={"format": "pt"})
        names.update({k: f for k in part})
        total += sum(t.nbytes for t in part.values())
    with open(os.path.join(d, "model.safetensors.index.json"), "w") as fh:
        json.dump({"metadata": {"total_size": total}, "weight_map": names}, fh, indent=1)


# ---- torch ----

class Evil:
    def __reduce__(self):
        return (os.system, ("echo this must never run",))


def rezip(src, dst, change):
    """Copies an archive member by member; change(name, data) gives a list of (name, data, method)."""
    with zipfile.ZipFile(src) as a, zipfile.ZipFile(dst, "w") as b:
        for i in a.infolist():
            for name, data, method in change(i.filename, a.read(i)):
                b.writestr(zipfile.ZipInfo(name), data, compress_type=method)


def torch_files(out):
    def path(name):
        return os.path.join(out, name)
    plain = {"f32": tramp((3, 4), 0), "f16": tramp((2, 8), 1, torch.float16),
             "bf16": tramp((2, 2, 5), 2, torch.bfloat16), "row": tramp((7,), 3)}
    torch.save(plain, path("plain.pth"))
    torch.save(plain, path("protocol4.pth"), pickle_protocol=4)
    base = tramp((4, 6), 4)
    layer = torch.nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(tramp((2, 3), 5))
        layer.bias.copy_(tramp((2,), 6))
    nested = {"model": layer.state_dict(), "view": base[1:3], "whole": base, "step": 12345678901,
              "args": {"lr": 1e-3, "name": "x", "flags": [True, None, (1, 2, 3, 4)]},
              "param": torch.nn.Parameter(tramp((2, 2), 7)), "number": torch.tensor(2.5)}
    torch.save(nested, path("nested.pth"))
    torch.save({"w": base.t()}, path("transposed.pth"))
    torch.save({"w": torch.arange(4)}, path("longs.pth"))
    torch.save(plain, path("legacy.pth"), _use_new_zipfile_serialization=False)
    torch.save({"w": Evil()}, path("evil.pth"))
    torch.save([tramp((2,), 0)], path("list.pth"))
    st, df = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
    rezip(path("plain.pth"), path("deflated.pth"), lambda n, d: [(n, d, df)])
    rezip(path("plain.pth"), path("twice.pth"),
          lambda n, d: [(n, d, st)] * (2 if n.endswith("data.pkl") else 1))
    rezip(path("plain.pth"), path("two_pickles.pth"),
          lambda n, d: [(n, d, st)] + ([("other/data.pkl", d, st)] if n.endswith("pkl") else []))
    rezip(path("plain.pth"), path("no_storage.pth"), lambda n, d: [] if n.endswith("/0") else [(n, d, st)])
    rezip(path("plain.pth"), path("short_storage.pth"),
          lambda n, d: [(n, d[:-1] if n.endswith("/0") else d, st)])
    rezip(path("plain.pth"), path("big_endian.pth"),
          lambda n, d: [(n, b"big" if n.endswith("byteorder") else d, st)])
    loop = {}
    loop["again"] = loop
    deep = {"w": 1}
    for _ in range(12):
        deep = {"d": deep}
    wide = {"w": 1}
    for _ in range(7):
        wide = {str(i): wide for i in range(40)}
    for name, obj in (("loop", loop), ("deep", deep), ("wide", wide)):
        rezip(path("plain.pth"), path(name + ".pth"),
              lambda n, d, o=obj: [(n, pickle.dumps(o, 2) if n.endswith("pkl") else d, st)])


# ---- what we wrote ----

def check(out):
    n = 0
    f = os.path.join(out, "written.gguf")
    r = gguf.GGUFReader(f)
    assert r.fields["general.architecture"].contents() == "llama"
    assert r.fields["t.strs"].contents() == ["a", "", "end"]
    assert r.fields["t.u32"].contents() == 8, "the later of two equal keys wins"
    for k, t in enumerate(r.tensors):
        shape = tuple(int(x) for x in reversed(t.shape))
        got = gguf.quants.dequantize(t.data, t.tensor_type).reshape(shape)
        assert np.array_equal(got, ramp(shape, k)), t.name
        n += 1
    for d in ("written_single", "written_sharded"):
        d = os.path.join(out, d)
        files = sorted(x for x in os.listdir(d) if x.endswith(".safetensors"))
        index = os.path.join(d, "model.safetensors.index.json")
        where = json.load(open(index))["weight_map"] if os.path.exists(index) else None
        assert (where is None) == (len(files) == 1)
        for x in files:
            with safetensors.safe_open(os.path.join(d, x), "pt") as s:
                assert s.metadata()["format"] == "pt"
                for name in s.keys():
                    t = s.get_tensor(name)
                    want = tramp(tuple(t.shape), int(name.split(".")[-1]), t.dtype)
                    assert torch.equal(t, want), name
                    assert where is None or where[name] == x
                    n += 1
    print(f"{n} tensors of {out} equal in the reference libraries")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("dir")
    p.add_argument("--check", action="store_true")
    a = p.parse_args()
    print("torch", torch.__version__, "safetensors", safetensors.__version__, "numpy", np.__version__,
          file=sys.stderr)
    if a.check:
        return check(a.dir)
    os.makedirs(a.dir, exist_ok=True)
    gguf_all(os.path.join(a.dir, "all.gguf"))
    gguf_split(a.dir)
    st_files(a.dir)
    torch_files(a.dir)


if __name__ == "__main__":
    main()
