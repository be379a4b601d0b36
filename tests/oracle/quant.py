#!/usr/bin/env python3
"""What the published reference makes of blocks and of numbers, for tests/tensor/test_quant.c.

    quant.py OUT              writes quant.bin into OUT (committed: tests/golden/tensor)

Made with gguf 0.19.0, numpy 2.4.6 (printed at each run). A record, little-endian: name char[8],
kind u32 (0: bytes decode to floats; 1: floats encode to bytes), n_elems u32, n_bytes u32, the
bytes, the floats. Ended by the end of the file.

Decode records hold random blocks whose float16 fields are, block after block: ordinary, ordinary
and negative, zero, subnormal, the smallest subnormal, the largest. Encode records (for the formats
whose encoder is published as a formula) hold normal numbers and the cases that rounding decides.
"""
import os
import struct
import sys

import gguf
import numpy as np
from gguf.quants import dequantize, quantize

# Byte offsets of float16 fields.
FIELDS = {
    "F32": None, "F16": None, "BF16": None,
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0],
}
ENCODED = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]
HALVES = [0.0123, -0.0321, 0.0, 3e-6, 6e-8, 65504.0]


def record(out, name, kind, data, x):
    data, x = data.reshape(-1), x.reshape(-1)
    out.write(struct.pack("<8sIII", name.encode(), kind, x.size, data.size))
    out.write(data.tobytes())
    out.write(x.astype("<f4").tobytes())


def decode_record(out, name, rng):
    kind = gguf.GGMLQuantizationType[name]
    elems, n_bytes = gguf.GGML_QUANT_SIZES[kind]
    fields = FIELDS[name]
    if fields is None:
        x = np.concatenate([rng.normal(size=64), [0.0, -0.0, 1e-40, 6e-8, 65504.0, np.inf, -np.inf]])
        if name == "F32":
            data = x.astype("<f4").view(np.uint8)
        elif name == "F16":
            data = x.astype("<f2").view(np.uint8)
        else:
            data = (x.astype("<f4").view("<u4") >> 16).astype("<u2").view(np.uint8)
        record(out, name, 0, data, dequantize(data.copy(), kind))
        return
    blocks = rng.integers(0, 256, size=(len(HALVES), n_bytes), dtype=np.uint8)
    for block, d in zip(blocks, HALVES):
        for i, at in enumerate(fields):
            block[at:at + 2] = np.array([d / (1 + i)], "<f2").view(np.uint8)
    x = dequantize(blocks, kind)
    assert x.size == len(HALVES) * elems and np.isfinite(x).all()
    record(out, name, 0, blocks, x)


def encode_record(out, name, rng):
    kind = gguf.GGMLQuantizationType[name]
    rows = [rng.normal(size=32) * 0.02 for _ in range(8)]
    rows += [rng.uniform(-1, 1, size=32), rng.uniform(1, 2, size=32), rng.uniform(-2, -1, size=32)]
    rows += [np.zeros(32), np.full(32, 0.7), np.full(32, -0.7)]
    rows += [np.eye(32)[5] * 3.0, np.eye(32)[31] * -3.0 + 1e-3]
    rows += [np.arange(-16, 16) / 2.0, np.arange(-16, 16) * 127 / 32.0, np.arange(32) / 4.0]
    rows += [np.tile([1.0, -1.0], 16), np.tile([-1.0, 1.0], 16)]  # the first of equals decides
    rows += [rng.normal(size=32) * 1e-6, rng.normal(size=32) * 1e-9, rng.normal(size=32) * 1e4]
    x = np.array(rows, np.float32)
    if name in ("F16", "BF16"):
        x[-1, :8] = [np.inf, -np.inf, 65519.0, 65520.0, 1e-40, -0.0, 6e-8, 2.98e-8]
    record(out, name, 1, quantize(x, kind).view(np.uint8), x)


def main():
    print("gguf", __import__("importlib.metadata").metadata.version("gguf"), "numpy", np.__version__)
    rng = np.random.default_rng(20240721)
    path = os.path.join(sys.argv[1], "quant.bin")
    with open(path, "wb") as out, np.errstate(all="ignore"):
        for name in FIELDS:
            decode_record(out, name, rng)
        for name in ENCODED:
            encode_record(out, name, rng)
    print(path, os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
