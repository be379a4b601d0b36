#!/usr/bin/env python3
"""Golden distributions for the sampler's steps: sampler.py OUT.json

Each case is a small vocabulary of logits, a history and settings; the answer is which tokens are left
and with what probability, in float64, by the plainest reading of each definition: sort everything,
compare every place of the history with every other. Random tokens play no part: XTC is given with
probability 1 (it acts) or 0. Made with numpy 2.4.6 and Python 3.11.
"""
import json
import sys

import numpy as np

DEFAULTS = dict(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, typical_p=1.0, repeat_penalty=1.0,
                presence_penalty=0.0, frequency_penalty=0.0, penalty_last_n=64, dry_multiplier=0.0,
                dry_base=1.75, dry_allowed_length=2, dry_last_n=-1, xtc_probability=0.0,
                xtc_threshold=0.1, mirostat_tau=0.0, bias=[])


def softmax(l):
    e = np.exp(l - l.max())
    return e / e.sum()


def window(history, last_n):
    return history if last_n < 0 else history[max(0, len(history) - last_n):] if last_n else []


def penalties(l, history, s):
    recent = window(history, s["penalty_last_n"])
    for t in set(recent):
        l[t] = l[t] / s["repeat_penalty"] if l[t] > 0 else l[t] * s["repeat_penalty"]
        l[t] -= recent.count(t) * s["frequency_penalty"] + s["presence_penalty"]


def dry(l, history, s):
    h = window(history, s["dry_last_n"])
    longest = {}
    for end in range(len(h) - 1):  # the match ends at h[end], h[end + 1] followed it
        m = 0
        while m <= end and h[end - m] == h[len(h) - 1 - m]:
            m += 1
        if m >= s["dry_allowed_length"]:
            longest[h[end + 1]] = max(m, longest.get(h[end + 1], 0))
    for t, m in longest.items():
        l[t] -= s["dry_multiplier"] * s["dry_base"] ** (m - s["dry_allowed_length"])


def crossing(p, order, bound, reaches):
    """The tokens of `order` up to the one with which the sum of p reaches (or passes) the bound."""
    total = 0.0
    for n, i in enumerate(order):
        total += p[i]
        if total >= bound if reaches else total > bound:
            return list(order[:n + 1])
    return list(order)


def falling(ids, l):
    return sorted(ids, key=lambda i: (-l[i], i))


def run(logits, history, s):
    l = np.array(logits, dtype=np.float64)
    for i, b in s["bias"]:
        l[i] += b
    penalties(l, history, s)
    if s["dry_multiplier"] > 0:
        dry(l, history, s)
    ids = falling([i for i in range(len(l)) if l[i] > -np.inf], l)

    def probabilities():
        return dict(zip(ids, softmax(l[ids])))

    if s["mirostat_tau"] == 0:
        if s["top_k"]:
            ids = ids[:s["top_k"]]
        if s["typical_p"] < 1:
            p = probabilities()
            h = -sum(x * np.log(x) for x in p.values() if x > 0)
            order = sorted(ids, key=lambda i: abs(-np.log(p[i]) - h))
            ids = falling(crossing(p, order, s["typical_p"], reaches=False), l)
        if s["top_p"] < 1:
            ids = crossing(probabilities(), ids, s["top_p"], reaches=True)
        if s["min_p"] > 0:
            p = probabilities()
            ids = [i for i in ids if p[i] >= s["min_p"] * p[ids[0]]]
        if s["xtc_probability"] == 1 and s["xtc_threshold"] <= 0.5:
            p = probabilities()
            top = [i for i in ids if p[i] >= s["xtc_threshold"]]
            if len(top) > 1:
                ids = ids[len(top) - 1:]
    l = l / s["temperature"]
    if s["mirostat_tau"] > 0:
        p = probabilities()
        ids = [i for i in ids if -np.log2(p[i]) <= 2 * s["mirostat_tau"]] or ids[:1]
    return ids, softmax(l[ids])


SETTINGS = [
    dict(),
    dict(temperature=0.5), dict(temperature=1.7), dict(temperature=0.01),
    dict(top_k=1), dict(top_k=5), dict(top_k=1000),
    dict(top_p=0.3), dict(top_p=0.9), dict(top_p=0.999), dict(top_p=0.0),
    dict(min_p=0.02), dict(min_p=0.5), dict(min_p=1.0),
    dict(typical_p=0.2), dict(typical_p=0.9), dict(typical_p=0.0),
    dict(repeat_penalty=1.3), dict(repeat_penalty=0.8, penalty_last_n=4),
    dict(presence_penalty=0.7, frequency_penalty=0.3, penalty_last_n=-1),
    dict(frequency_penalty=-0.4, penalty_last_n=8),
    dict(dry_multiplier=0.8), dict(dry_multiplier=2.0, dry_base=1.2, dry_allowed_length=3),
    dict(dry_multiplier=1.0, dry_last_n=12), dict(dry_multiplier=0.5, dry_allowed_length=1),
    dict(xtc_probability=1.0), dict(xtc_probability=1.0, xtc_threshold=0.02),
    dict(xtc_probability=1.0, xtc_threshold=0.6),
    dict(bias=[[3, 2.5], [5, float("-inf")], [0, -1.0]]),
    dict(mirostat_tau=1.0), dict(mirostat_tau=3.0, temperature=0.7), dict(mirostat_tau=0.1),
    dict(temperature=0.8, top_k=40, top_p=0.95, min_p=0.05),
    dict(temperature=1.2, top_k=20, typical_p=0.8, top_p=0.9, min_p=0.01, xtc_probability=1.0,
         repeat_penalty=1.1, presence_penalty=0.2, dry_multiplier=0.8),
]


def main():
    rng = np.random.default_rng(20240418)
    cases = []
    for i, setting in enumerate(SETTINGS):
        for n, spread in ((24, 2.0), (300, 3.0)):
            # numbers that float holds exactly, all different: no tie decides a row
            grid = rng.choice(4096, n, replace=False) / 4096 - 0.5
            logits = np.round(np.tan(grid * 2.6) * spread * 512) / 512
            while len(set(logits)) < n:
                for x in set(logits):
                    same = np.flatnonzero(logits == x)[1:]
                    logits[same] += np.arange(1, len(same) + 1) / 512
            history = [int(x) for x in rng.integers(0, 4, 40)] + [0, 1, 2, 3, 1, 0, 1, 2, 3]
            s = {**DEFAULTS, **setting}
            ids, p = run(logits, history, s)
            s["bias"] = [[i, b if np.isfinite(b) else -1e30] for i, b in s["bias"]]
            cases.append(dict(settings=s, logits=[float(x) for x in logits], history=history,
                              ids=ids, p=[float("%.7g" % x) for x in p]))
    with open(sys.argv[1], "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")


main()
