#!/usr/bin/env python3
"""Vectors of texts and log-probabilities of prompts by transformers, on the default model's weights.

    cria convert SmolLM2-135M-Instruct.Q4_1.gguf DIR --type f32
    embed.py DIR OUT                  OUT: tests/golden/infer/embed.json

Made with torch 2.15.0, transformers 5.24.0. DIR has the exact values of the quantized weights;
arithmetic is float32. For each text: its ids, every 4th number of the pooled last hidden states
(after the last norm) made of length 1, and the log-probability of each token but the first. The
same three texts are in tests/infer/test_embed.c.
"""
import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

EVERY = 4
TEXTS = [
    "The cat sat on the mat and looked at the birds in the garden.",
    "def add(a, b):\n    return a + b\n",
    "Glaciers are rivers of ice: they move downhill under their own weight, a few centimetres to "
    "many metres a day, and carry the rock that they have torn from their bed down to the valley.",
]


def unit(v):
    return v / v.norm()


def main(path, out):
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    rows = []
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False).input_ids
        with torch.no_grad():
            result = model(torch.tensor([ids]), output_hidden_states=True)
        state = result.hidden_states[-1][0].double()
        weight = torch.arange(1, len(ids) + 1, dtype=torch.float64)[:, None]
        logprob = torch.log_softmax(result.logits[0].double(), -1)
        pooled = {"mean": state.sum(0), "weighted": (state * weight).sum(0), "last": state[-1]}
        rows.append({
            "text": text,
            "ids": ids,
            "logprobs": [round(float(logprob[i - 1, ids[i]]), 5) for i in range(1, len(ids))],
            **{k: [round(x, 6) for x in unit(v)[::EVERY].tolist()] for k, v in pooled.items()},
        })
    with open(out, "w") as f:
        json.dump({"every": EVERY, "texts": rows}, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
