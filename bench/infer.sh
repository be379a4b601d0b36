#!/bin/bash
# infer.sh [BUILD [MODEL [THREADS]]] - reading and writing speed of one model file, beside llama.cpp's on
# the same file in the same minutes, and beside the machine's limits.
#
# llama-bench is taken from $LLAMA_BENCH or the PATH; without it only our figures are printed. The two
# run in turns, $ROUNDS (3) times, and the best of each is compared: other work on the machine only
# ever slows a run down.
set -eu
cd "$(dirname "$0")/.."
cria=${1:-build}/cria
model=${2:-$(scripts/get-model)}
threads=${3:-$("$cria" version --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["cores"])')}
peer=${LLAMA_BENCH:-$(command -v llama-bench || true)}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for i in $(seq "${ROUNDS:-3}"); do
	"$cria" bench -q -m "$model" -p 512 -n 128 -t "$threads" -r 2 --json > "$out/cria-$i.json"
	[ -z "$peer" ] || "$peer" -m "$model" -p 512 -n 128 -t "$threads" -r 2 -o json > "$out/peer-$i.json" 2> /dev/null
done
python3 - "$out" "$model" "$threads" <<-'PY'
	import glob, json, os, sys
	out, model, threads = sys.argv[1:]
	ours, peers = {}, {}
	for f in glob.glob(out + "/cria-*.json"):
	    for r in json.load(open(f)):
	        if r["tps"] > ours.get(r["test"], {"tps": 0})["tps"]:
	            ours[r["test"]] = r
	for f in glob.glob(out + "/peer-*.json"):
	    for r in json.load(open(f)):
	        test = "pp%d" % r["n_prompt"] if r["n_prompt"] else "tg%d" % r["n_gen"]
	        peers[test] = max(peers.get(test, 0), r["avg_ts"])
	r = next(iter(ours.values()))
	print(f"{os.path.basename(model)}, {threads} threads, kernels {r['isa']}; limits {r['peak_gflops']:.0f} GFLOP/s ({ours['pp512']['peak']}), {r['peak_gbps']:.1f} GB/s")
	print(f"{'test':8} {'cria':>10} {'of the limit':>13} {'llama.cpp':>10} {'ratio':>6}")
	for test, r in ours.items():
	    p = peers.get(test)
	    print(f"{test:8} {r['tps']:10.1f} {100 * r['peak_fraction']:11.0f} % " + (f"{p:10.1f} {r['tps'] / p:6.2f}" if p else f"{'not here':>10}"))
PY
