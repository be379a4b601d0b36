# SPDX-License-Identifier: Apache-2.0
"""What the commands of bench/ share: running programs, samples that outlive an interruption, rows and their table.

A row is {name, unit, ours, peer, peer_name, ratio, target}; ratio is above 1 where we are ahead, also for times and
sizes. Without a peer, peer, peer_name, ratio and target may be null.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PEERS = {"llama.cpp": ("LLAMA_BENCH", "llama"), "ik_llama.cpp": ("IK_BENCH", "ik")}


def run(*argv, timeout=None):
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=timeout).stdout


def add_options(p, runs):
    p.add_argument("--build", default=os.path.join(ROOT, "build"), help="folder of cria [build]")
    p.add_argument("--quick", action="store_true", help="less of everything: under a minute")
    p.add_argument("--json", action="store_true", help="print a JSON array of rows")
    if runs:
        p.add_argument("--runs", type=int, default=0, help=f"runs of each side [{runs}, quick: 1]")


def peers():
    """{name: folder of its programs} of the peers that are here: named by $LLAMA_BENCH and $IK_BENCH, built by get-peers, in
    the PATH."""
    found = {}
    for name, (variable, folder) in PEERS.items():
        built = f"{ROOT}/build-peers/{folder}/bin/llama-bench"
        path = os.environ.get(variable) or (built if os.path.exists(built) else None)
        if not path and name == "llama.cpp":
            path = shutil.which("llama-bench")
        if path:
            found[name] = os.path.dirname(os.path.abspath(path))
    return found


def row(name, unit, ours, found=None, target=None, is_cost=False, **more):
    """Against the best peer in found, {name: figure}; a cost is better when smaller."""
    found = found or {}
    best = (min if is_cost else max)(found, key=found.get) if found else None
    peer = found.get(best)
    ratio = None if peer is None or not ours else peer / ours if is_cost else ours / peer
    return {"name": name, "unit": unit, "ours": ours, "peer": peer, "peer_name": best, "ratio": ratio, "target": target, **more}


def print_head(what):
    print(f"{what}\n{'':40} {'cria':>10} {'':10} {'of limit':>8} {'best peer':>10} {'':14} ratio")


def print_row(r):
    line = f"{r['name']:40} {r['ours']:10.2f} {r['unit']:10} "
    line += f"{100 * r['peak_fraction']:6.0f} %" if r.get("peak_fraction") else f"{'':8}"
    if r["peer"] is not None:
        line += f" {r['peer']:10.2f} {r['peer_name']:14}"
    if r["ratio"] is not None:
        line += f" {r['ratio']:5.2f}"
    if r["ratio"] is not None and r["target"] is not None:
        line += f" (target {r['target']:.2f})" + ("" if r["ratio"] >= r["target"] else "  below the target")
    print(line.rstrip(), flush=True)


class Samples:
    """Figures of each (row, side, threads), kept in a file of JSON lines so that a run that was cut off goes on."""

    def __init__(self, path=None):
        self.path, self.kept = path, {}
        for line in open(path) if path and os.path.exists(path) else []:
            s = json.loads(line)
            self.kept.setdefault((s["row"], s["side"], s["threads"]), []).append(s)

    def add(self, row_name, side, threads, **what):
        s = {"row": row_name, "side": side, "threads": threads, **what}
        self.kept.setdefault((row_name, side, threads), []).append(s)
        if self.path:
            with open(self.path, "a") as f:
                f.write(json.dumps(s) + "\n")

    def measured(self, row_name, side, threads):
        """How many there are; a failure counts as all that are wanted."""
        kept = self.kept.get((row_name, side, threads), [])
        return 1 << 30 if any("error" in s for s in kept) else len(kept)

    def best(self, row_name, is_cost=False):
        """{side: (median of its best number of threads, one of its samples)}."""
        best = {}
        for (name, side, _), kept in self.kept.items():
            kept = [s for s in kept if "error" not in s]
            if name != row_name or not kept:
                continue
            median = statistics.median(s["value"] for s in kept)
            if side not in best or (median < best[side][0] if is_cost else median > best[side][0]):
                best[side] = (median, kept[0])
        return best


def take(samples, row_name, sides, threads, runs, deadline=None):
    """Measures what is missing of a row. sides: {name: function of a number of threads that gives a figure or (figure, what
    else to keep)}. Sides take turns, so that what else the machine does falls on all."""
    for i in range(runs):
        for side, measure in sides.items():
            for t in threads:
                if samples.measured(row_name, side, t) > i or (deadline and time.monotonic() > deadline):
                    continue
                try:
                    figure = measure(t)
                except (subprocess.SubprocessError, OSError, ValueError, KeyError, IndexError) as e:
                    print(f"{row_name}: {side}, {t} threads: {explain(e)}", file=sys.stderr)
                    samples.add(row_name, side, t, error=explain(e))
                    continue
                value, more = figure if isinstance(figure, tuple) else (figure, {})
                samples.add(row_name, side, t, value=value, **more)


def explain(e):
    if isinstance(e, subprocess.CalledProcessError) and e.stderr:
        return e.stderr.strip().splitlines()[-1]
    return f"{type(e).__name__}: {e}".splitlines()[0][:200]
