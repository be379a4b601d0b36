#!/bin/bash
# generate.sh - the interface that scripts rely on: generate, tokenize, detokenize, perplexity, bench.
. "$(dirname "$0")/tap.bash"

if [ ! -f "$model" ]; then
	skip "generate with the default model" "the default model is not here"
	plan
	exit 0
fi

run "$CRIA" generate -m "$model" --system "Answer the question correctly." -p "What is the capital of France?" -n 32 --temp 0 --json
say $? "generate --json"
py '"Paris" in d["text"] and d["finish_reason"] in ("stop", "length") and d["prompt_tokens"] > 10'
say $? "the answer is right and complete"
py 'all(k in d["timings"] for k in ("load_ms", "first_token_ms", "prompt_tps", "decode_tps"))'
say $? "timings are there"
cp "$dir/out" "$dir/two"
run "$CRIA" generate -m "$model" --system "Answer the question correctly." -p "What is the capital of France?" -n 32 --temp 0 --json -t 1
py 'd["tokens"] == json.load(open("'"$dir"'/two"))["tokens"]'
say $? "one thread gives the same tokens as all"
if grep -q '\[never\]' /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null; then
	run "$CRIA" generate -m "$model" -p x -n 1 --huge-pages
	[ $? != 0 ] && grep -q "huge-pages: .*huge pages are off; write madvise" "$dir/err"
	say $? "--huge-pages is refused where they are off"
else
	run "$CRIA" generate -m "$model" --system "Answer the question correctly." -p "What is the capital of France?" -n 32 --temp 0 --json -v --huge-pages
	py 'd["tokens"] == json.load(open("'"$dir"'/two"))["tokens"]' && grep -q "weights .* MB (huge pages), cache" "$dir/err"
	say $? "--huge-pages gives the same tokens"
fi
run "$CRIA" generate -m "$model" --raw -p "The capital of France is" -n 4 --temp 0 --json -v --repack
if [ "$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["text"].count("Paris"))' "$dir/out" 2>/dev/null)" = 1 ]; then
	grep -q "weights .* MB (repacked), cache" "$dir/err"
	say $? "--repack answers"
	run "$CRIA" generate -m "$model" --raw -p "The capital of France is" -n 4 --isa generic --repack
fi
grep -q "repack: .*kernel set .* reads no weights faster" "$dir/err"
say $? "--repack is refused where it brings nothing"
for isa in $("$CRIA" version --json | python3 -c 'import json,sys; print(*json.load(sys.stdin)["kernels"][1:])'); do
	run "$CRIA" generate -m "$model" --raw -p "The capital of France is" -n 4 --temp 0 --json --isa "$isa"
	py '"Paris" in d["text"]'
	say $? "kernel set $isa answers"
done
run "$CRIA" generate -m "$model" --raw -p "Once upon a time" -n 8 --temp 0 --json
a=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["text"])' "$dir/out")
run bash -c "echo '[6403, 1980, 253, 655]' | '$CRIA' generate -m '$model' --raw --ids -n 8 --temp 0 --json"
py 'd["text"].strip() == """'"$a"'""".strip()'
say $? "--ids gives what the text gives"
run "$CRIA" generate -m "$model" --raw -p "One, two, three," -n 40 --temp 0 --stop seven --json
py 'd["finish_reason"] == "stop" and "seven" not in d["text"] and "six" in d["text"] and d["stop_text"] == "seven"'
say $? "a stop string ends the answer before it"
for t in 0 0.8; do
	run "$CRIA" generate -m "$model" --raw -p "one two three four one two three four one two three four one two" -n 60 --temp $t --seed 3 --logprobs 1 --json --draft 0
	cp "$dir/out" "$dir/plain"
	run "$CRIA" generate -m "$model" --raw -p "one two three four one two three four one two three four one two" -n 60 --temp $t --seed 3 --logprobs 1 --json
	py 'd["logprobs"] == json.load(open("'"$dir"'/plain"))["logprobs"] and d["speculation"]["accepted"] > 0'
	say $? "guessing ahead changes nothing, temperature $t"
done
run "$CRIA" generate -m "$model" --raw -p "One, two, three," -n 20 --temp 0 --json --draft-model "$model"
py 'd["speculation"]["accepted"] > 8'
say $? "--draft-model: the model guesses itself right"
run "$CRIA" generate -m "$model" -p "Name a colour." -n 12 --answers 3 --seed 1 --json --logprobs 2
py 'len(d["answers"]) == 3 and len(d["answers"][0]["logprobs"]) == len(d["answers"][0]["tokens"]) and len(d["answers"][0]["logprobs"][0]["top"]) == 2'
say $? "three answers with logprobs"
run "$CRIA" generate -m "$model" --raw -p "The sky is" -n 0 --dump-logits "$dir/l.npy" --json
python3 - "$dir/l.npy" <<-'PY'
	import sys
	b = open(sys.argv[1], "rb").read()
	sys.exit(not (b[:6] == b"\x93NUMPY" and b"(3, 49152)" in b[:128] and len(b) == 128 + 4 * 3 * 49152))
PY
say $? "--dump-logits writes a float32 row a position"
run "$CRIA" generate -m "$model" -p "Hi" -n 2 --temp 0 --show-prompt
grep -q '1:"<|im_start|>"' "$dir/err"
say $? "--show-prompt shows token borders"

run "$CRIA" generate -q -m "$model" --raw -p "One, two, three," --temp 0 -c 32 --ignore-eos --json
py 'd["finish_reason"] == "context"' && grep -q -- "--ctx gives more room" "$dir/err"
say $? "a full context ends the answer and says what to do"
run "$CRIA" generate -q -m "$model" --raw -p "One, two, three," --temp 0 -c 32 -n 60 --ignore-eos --context-shift --json
py 'd["finish_reason"] == "length" and len(d["tokens"]) == 60'
say $? "--context-shift goes on"

run bash -c "printf 'Hello  world\n\n\xf0\x9f\x99\x82 caf\xc3\xa9' | '$CRIA' tokenize -m '$model' --json"
cp "$dir/out" "$dir/ids"
run bash -c "'$CRIA' detokenize -m '$model' < '$dir/ids'"
[ "$(cat "$dir/out")" = "$(printf 'Hello  world\n\n🙂 café')" ]
say $? "detokenize undoes tokenize"
run bash -c "echo '\"<|im_end|>\"' | '$CRIA' tokenize -m '$model' --jsonl"
py 'len(d) > 1'
say $? "special tokens in text are text"
run bash -c "echo '\"<|im_end|>\"' | '$CRIA' tokenize -m '$model' --jsonl --special"
py 'd == [2]'
say $? "unless --special is given"

# ---- adapters ----
lora=$root/tests/golden/lora/smollm2
with_lora() { run "$CRIA" generate -m "$model" --raw -p 'The capital of France is' -n 8 --temp 0 -q "$@"; }
with_lora && cp "$dir/out" "$dir/without" && with_lora --lora "$lora" && ! cmp -s "$dir/out" "$dir/without" && cp "$dir/out" "$dir/with"
say $? "an adapter changes the answer"
with_lora --lora "zero=$lora/:0" && cmp -s "$dir/out" "$dir/without" && with_lora --lora "a=$lora:1" && cmp -s "$dir/out" "$dir/with"
say $? "as much as its scale says"
refuses 2 '--lora|2 times; this command takes one' "$CRIA" generate -m "$model" -p x -q --lora "a=$lora" --lora "b=$lora"
say $? "two of them"
refuses 1 "--lora|tests/golden/lora/tiny|this model's has 576 columns" "$CRIA" generate -m "$model" -p x -q --lora "$root/tests/golden/lora/tiny"
say $? "one of another model"
refuses 1 "--lora|cannot open" "$CRIA" generate -m "$model" -p x -q --lora "$dir/nothing"
say $? "one that is not there"
refuses 2 "--lora|has no path" "$CRIA" generate -m "$model" -p x -q --lora a=
say $? "one without a path"
run bash -c "echo Hello | '$CRIA' chat -m '$model' -q -n 4 --temp 0 --lora '$lora'" && cp "$dir/out" "$dir/with" &&
	run bash -c "echo Hello | '$CRIA' chat -m '$model' -q -n 4 --temp 0" && ! cmp -s "$dir/out" "$dir/with"
say $? "in a chat"

if [ -f "$data/wikitext2/valid.txt.gz" ]; then
	python3 -c 'import gzip,sys; s=gzip.open(sys.argv[1]).read(50000).decode("utf-8","ignore").rstrip("\n"); open(sys.argv[2],"w").write(s)' "$data/wikitext2/valid.txt.gz" "$dir/wiki"
	run "$CRIA" perplexity -m "$model" -f "$dir/wiki" -c 512 --json
	cp "$data/smollm2_vectors/perplexity.json" "$dir/want"
	py 'abs(d["perplexity"] / json.load(open("'"$dir"'/want"))["contexts"]["512"]["ppl_second_half"] - 1) < 0.005 and d["stderr"] > 0'
	say $? "perplexity within 0.5 % of transformers"
else
	skip "perplexity against transformers" "wikitext2 is not here"
fi
run "$CRIA" bench -m "$model" -p 64 -n 8 -r 1 -d 0,64 --json
py '[r["test"] for r in d] == ["pp64", "tg8", "pp64@64", "tg8@64"] and all(r["tps"] > 0 and 0 < r["peak_fraction"] < 3 for r in d)'
say $? "bench rows"
run "$CRIA" bench -m "$model" -p 0 -n 8 -r 1 -d 64 --sequences 3 --json
py 'len(d) == 1 and d[0]["test"] == "tg8@64x3" and d[0]["sequences"] == 3 and d[0]["tps"] > 0 and "reading memory" in d[0]["peaks"]'
say $? "bench of several answers at once"
run "$CRIA" inspect -m "$model" --json
py 'd["n_layers"] == 30 and d["chat"] and len(d["tensors"]) == 272 and d["memory"]["cache_bytes_f16"] > 0'
say $? "inspect --json"
plan
