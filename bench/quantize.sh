#!/bin/sh
# quantize.sh [BUILD [MODEL [TYPE...]]] - what each type of `cria quantize` costs and gives: bits a
# weight, size of the file, relative error, perplexity on a text, reading and writing speed. Prints the
# table of docs/quantize.md.
#
# All types are made from one f32 copy of MODEL (default: the default model, which is Q4_1 itself, so
# its own rounding is in every row and the row f32 is the reference). The text is the beginning of
# WikiText-2 validation, else of LICENSE.
#   TEXT_BYTES=50000  how much of the text is scored
#   RUNS=3            counted runs of each speed; 0 leaves the speed columns empty
set -eu
cd "$(dirname "$0")/.."
cria=${1:-build}/cria
model=${2:-$(scripts/get-model)}
shift $(($# < 2 ? $# : 2))
types=${*:-$("$cria" quantize --list | cut -d ' ' -f 1)}
runs=${RUNS:-3}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT INT TERM

wikitext=${CRIA_DATA:-../shared/data}/wikitext2/valid.txt.gz
if [ -f "$wikitext" ]; then name="WikiText-2 validation" && gzip -dc "$wikitext" > "$tmp/all"
else name=LICENSE && cp LICENSE "$tmp/all"; fi
head -c "${TEXT_BYTES:-50000}" "$tmp/all" > "$tmp/text"

"$cria" convert -q "$model" "$tmp/f32.gguf" --type f32
echo "$(basename "$model") by way of f32; perplexity on the first $(stat -c %s "$tmp/text") bytes of $name, windows of 512, second half"
echo
echo "| type | bits per weight | file MB | relative error | perplexity | pp512 tok/s | tg128 tok/s |"
echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
for type in $types; do
	"$cria" quantize -q "$tmp/f32.gguf" "$tmp/model.gguf" --type "$type" --overwrite --json > "$tmp/report"
	"$cria" inspect -q "$tmp/model.gguf" --json > "$tmp/shape"
	"$cria" perplexity -q -m "$tmp/model.gguf" -f "$tmp/text" --json > "$tmp/score"
	[ "$runs" = 0 ] || "$cria" bench -q -m "$tmp/model.gguf" -p 512 -n 128 -r "$runs" --json > "$tmp/speed"
	python3 - "$type" "$tmp" <<-'PY'
		import json, os, sys
		name, tmp = sys.argv[1:]
		load = lambda f: json.load(open(os.path.join(tmp, f)))
		report, shape, score = load("report"), load("shape"), load("score")
		speed = {r["test"]: "%.0f" % r["tps"] for r in load("speed")} if os.path.exists(os.path.join(tmp, "speed")) else {}
		print(f"| {name} | {8 * report['bytes_to'] / shape['n_params']:.2f} | {os.path.getsize(os.path.join(tmp, 'model.gguf')) / 1e6:.1f} | "
		      f"{report['rel_rmse']:.5f} | {score['perplexity']:.3f} ± {score['stderr']:.3f} | {speed.get('pp512', '')} | {speed.get('tg128', '')} |")
	PY
done
