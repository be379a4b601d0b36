#!/bin/bash
# speculation.sh [BUILD [MODEL [DRAFT_MODEL]]] - writing speed with and without guessing ahead (--draft),
# on texts that repeat their prompt, partly repeat it, and do not; fails if an answer differs.
#
# The ways run in turns, $ROUNDS (3) times, and the best of each is compared: other work on the machine
# only ever slows a run down. With DRAFT_MODEL a third way guesses with that model, too.
set -eu
cd "$(dirname "$0")/.."
cria=${1:-build}/cria
model=${2:-$(scripts/get-model)}
draft=${3:-}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT INT TERM

story='The lighthouse keeper climbed the narrow stairs every evening at dusk. He carried a small lamp, a can of oil, and a clean cloth. When he reached the top, he wiped the glass, filled the tank, and lit the great wick. Ships far out at sea saw the light turn and knew where the rocks were. In winter the storms came and the waves struck the tower, but the keeper stayed at his post. He wrote the hour and the weather in a thick book, and in the morning he slept.'
code='def sum_of_squares(numbers):
    total = 0
    for number in numbers:
        total = total + number * number
    return total

def sum_of_cubes(numbers):
    total = 0
    for number in numbers:
        total = total + number * number * number
    return total'
echo "Repeat the following text exactly, word for word:

$story" > "$tmp/repeat"
echo "Add a comment to each function of this code and print all of it:

$code" > "$tmp/edit"
echo "Write an essay about the causes of the French Revolution." > "$tmp/essay"
echo "Explain step by step how a refrigerator works." > "$tmp/explain"
echo "Write a story about a dragon who is afraid of fire." > "$tmp/story"

run() { # OUT PROMPT TEMP OPTIONS...
	local out=$1 prompt=$2 temp=$3
	shift 3
	"$cria" generate -q -m "$model" -f "$prompt" --temp "$temp" --seed 1 -n 200 --json "$@" > "$out"
}
for i in $(seq "${ROUNDS:-3}"); do
	for prompt in repeat edit essay explain story; do
		for temp in 0 0.8; do
			run "$tmp/$prompt-$temp-off-$i" "$tmp/$prompt" "$temp" --draft 0
			run "$tmp/$prompt-$temp-text-$i" "$tmp/$prompt" "$temp"
			[ -z "$draft" ] || run "$tmp/$prompt-$temp-model-$i" "$tmp/$prompt" "$temp" --draft-model "$draft"
		done
	done
done
python3 - "$tmp" "$model" "$draft" <<-'PY'
	import glob, json, os, sys
	tmp, model, draft = sys.argv[1:]
	ways = ["off", "text"] + (["model"] if draft else [])
	print(os.path.basename(model) + (f", guesses too: {os.path.basename(draft)}" if draft else "") + "; tokens/s, best of the rounds")
	print(f"{'prompt':8} {'temp':>4} {'tokens':>6} {'off':>7}" + "".join(f" {w:>7} {'ratio':>5} {'guesses right':>14}" for w in ways[1:]))
	for prompt in ["repeat", "edit", "essay", "explain", "story"]:
	    for temp in ["0", "0.8"]:
	        best, last = {}, {}
	        for w in ways:
	            runs = [json.load(open(f)) for f in glob.glob(f"{tmp}/{prompt}-{temp}-{w}-*")]
	            best[w], last[w] = max(r["timings"]["decode_tps"] for r in runs), runs[0]
	            if any(r["tokens"] != last["off"]["tokens"] for r in runs):
	                sys.exit(f"{prompt}, temperature {temp}: the answer with guesses ({w}) is another")
	        row = f"{prompt:8} {temp:>4} {len(last['off']['tokens']):6} {best['off']:7.1f}"
	        for w in ways[1:]:
	            s = last[w]["speculation"]
	            row += f" {best[w]:7.1f} {best[w] / best['off']:5.2f} {s['accepted']:6} of {s['drafted']:4}"
	        print(row)
PY
