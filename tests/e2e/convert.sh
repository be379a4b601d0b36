#!/bin/bash
# convert.sh - models between formats and types: bit for bit where types are equal, and readable again.
. "$(dirname "$0")/tap.bash"

small=$root/tests/golden/model
greedy() { "$CRIA" generate -q -m "$1" --raw --ids -p '[1, 2, 3, 4]' -n 12 --temp 0 --ignore-eos --json 2> "$dir/err" |
	python3 -c 'import json,sys; print(json.load(sys.stdin)["tokens"])'; }

run "$CRIA" convert -q "$small/llama3" "$dir/a.gguf" && run "$CRIA" convert -q "$dir/a.gguf" "$dir/hf" &&
	run "$CRIA" convert -q "$dir/hf" "$dir/b.gguf"
say $? "HF to GGUF to HF to GGUF"
cmp "$dir/a.gguf" "$dir/b.gguf" > "$dir/out"
say $? "the two GGUF files are equal to the last bit"
python3 - "$small/llama3" "$dir/hf" > "$dir/out" 2>&1 <<-'PY'
	import glob, json, struct, sys
	def tensors(d):
	    out = {}
	    for p in glob.glob(d + "/*.safetensors"):
	        b = open(p, "rb").read()
	        n = struct.unpack("<Q", b[:8])[0]
	        for k, v in json.loads(b[8:8 + n]).items():
	            if k != "__metadata__":
	                s, e = v["data_offsets"]
	                out[k] = (v["dtype"], v["shape"], b[8 + n + s:8 + n + e])
	    return out
	a, b = tensors(sys.argv[1]), tensors(sys.argv[2])
	assert a.keys() == b.keys(), a.keys() ^ b.keys()
	for k in a:
	    assert a[k] == b[k], k
PY
say $? "HF tensors come back bit for bit"
want=$(greedy "$small/llama3")
[ -n "$want" ] && [ "$(greedy "$dir/a.gguf")" = "$want" ] && [ "$(greedy "$dir/hf")" = "$want" ]
say $? "all three answer alike"
run "$CRIA" convert -q "$small/meta" "$dir/meta.gguf"
say $? "Meta shards to GGUF"

types=$("$CRIA" quantize --list | cut -d' ' -f1)
[ "$(echo "$types" | wc -w)" -ge 15 ]
say $? "all types are listed"
for type in $types; do
	run "$CRIA" quantize -q "$small/llama3" "$dir/q.gguf" --type "$type" --overwrite --json &&
		py '0 <= d["rel_rmse"] < 0.3' && run "$CRIA" inspect "$dir/q.gguf" --json && [ -n "$(greedy "$dir/q.gguf")" ]
	say $? "quantize to $type, and run it"
done
run "$CRIA" quantize -q "$small/llama3" "$dir/t1.gguf" --type q4_k_m -t 1
run "$CRIA" quantize -q "$small/llama3" "$dir/t2.gguf" --type q4_k_m -t 2
cmp "$dir/t1.gguf" "$dir/t2.gguf" > "$dir/out"
say $? "any number of threads writes the same file"

if [ -f "$model" ]; then
	run "$CRIA" convert -q "$model" "$dir/f32" --type f32 && run "$CRIA" convert -q "$dir/f32" "$dir/f32.gguf"
	say $? "the default model to HF in f32 and back"
	a=$("$CRIA" generate -q -m "$model" -p "Name the planets." -n 24 --temp 0 2> /dev/null)
	b=$("$CRIA" generate -q -m "$dir/f32" -p "Name the planets." -n 24 --temp 0 2> /dev/null)
	[ -n "$a" ] && [ "${a:0:40}" = "${b:0:40}" ]
	say $? "it answers as before: ${b:0:40}"
	run "$CRIA" convert -q "$model" "$dir/same.gguf" && run "$CRIA" convert -q "$dir/same.gguf" "$dir/again.gguf"
	cmp "$dir/same.gguf" "$dir/again.gguf" > "$dir/out"
	say $? "GGUF to GGUF changes nothing"
	rm -f "$dir/again.gguf" "$dir/same.gguf"
	head -c 20000 "$root/LICENSE" > "$dir/calibration"
	run "$CRIA" imatrix -q -m "$dir/f32.gguf" -f "$dir/calibration" "$dir/im.gguf" &&
		run "$CRIA" quantize -q "$dir/f32.gguf" "$dir/plain.gguf" --type q3_k_m --json && cp "$dir/out" "$dir/one" &&
		run "$CRIA" quantize -q "$dir/f32.gguf" "$dir/weighed.gguf" --type q3_k_m --imatrix "$dir/im.gguf"
	say $? "imatrix, and quantize with it"
	cmp -s "$dir/plain.gguf" "$dir/weighed.gguf"
	[ $? = 1 ]
	say $? "the matrix changes the result"
	p() { "$CRIA" perplexity -q -m "$1" -f "$dir/calibration" -c 256 --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["perplexity"])'; }
	plain=$(p "$dir/plain.gguf") weighed=$(p "$dir/weighed.gguf")
	python3 -c "import sys; sys.exit(not $weighed < $plain)"
	say $? "and lowers perplexity on its text: $plain to $weighed"
else
	skip "the default model" "the default model is not here"
fi
plan
