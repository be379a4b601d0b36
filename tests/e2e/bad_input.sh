#!/bin/bash
# bad_input.sh - broken, lying and missing files, and requests that cannot be: one line on stderr that
# names the thing, the value and the remedy, exit status 1 (2 for the command line), nothing left.
. "$(dirname "$0")/tap.bash"

small=$root/tests/golden/model
gguf=$small/llama3-f16.gguf

refuses 1 "/nowhere/m.gguf|no such file" "$CRIA" generate -m /nowhere/m.gguf -p x
say $? "a missing file"
refuses 1 "smolm2-135m-instruct|did you mean smollm2-135m-instruct" "$CRIA" generate -m smolm2-135m-instruct -p x
say $? "a mistyped name"
: > "$dir/empty.gguf"
refuses 1 "empty.gguf" "$CRIA" inspect "$dir/empty.gguf"
say $? "an empty file"
echo "hello, this is no model at all, only text" > "$dir/text.gguf"
refuses 1 "text.gguf|GGUF" "$CRIA" inspect "$dir/text.gguf"
say $? "a text file"
mkdir "$dir/nothing"
refuses 1 "$dir/nothing|config.json" "$CRIA" inspect "$dir/nothing"
say $? "a directory without a model"

# Truncated at many places: always a refusal, never a crash.
size=$(stat -c %s "$gguf")
bad=0
for i in $(seq 1 40); do
	head -c $((size * i / 41)) "$gguf" > "$dir/cut.gguf"
	refuses 1 "cut.gguf|;" "$CRIA" generate -m "$dir/cut.gguf" --raw --ids -p '[1]' -n 1 || bad=1
done
say $bad "cut short at 40 places"

# Bits flipped in the header: a refusal, or an answer; never a crash, never a hang.
bad=0
for i in $(seq 1 60); do
	python3 - "$gguf" "$dir/flip.gguf" "$i" <<-'PY'
		import random, sys
		b = bytearray(open(sys.argv[1], "rb").read())
		r = random.Random(int(sys.argv[3]))
		for _ in range(3):
		    b[r.randrange(4, 6000)] ^= 1 << r.randrange(8)
		open(sys.argv[2], "wb").write(b)
	PY
	run timeout 20 "$CRIA" inspect "$dir/flip.gguf"
	rc=$?
	[ $rc = 0 ] || [ $rc = 1 ] || { bad=1; echo "# seed $i: exit status $rc"; }
done
say $bad "flipped bits at 60 seeds"

cp -r "$small/llama3" "$dir/hf"
rm "$dir/hf/tokenizer.json"
refuses 1 "$dir/hf|tokenizer" "$CRIA" generate -m "$dir/hf" -p x
say $? "a missing tokenizer"
cp "$small/llama3/tokenizer.json" "$dir/hf/"
sed -i 's/"hidden_size": *[0-9]*/"hidden_size": 123/' "$dir/hf/config.json"
refuses 1 "$dir/hf|123" "$CRIA" inspect "$dir/hf"
say $? "a shape that does not fit the config"
cp "$small/llama3/config.json" "$dir/hf/"
echo '{"num_hidden_layers": ' > "$dir/hf/config.json"
refuses 1 "config.json" "$CRIA" inspect "$dir/hf"
say $? "broken JSON"
rm -rf "$dir/hf"; cp -r "$small/llama3" "$dir/hf"; rm "$dir/hf/model-00002-of-00002.safetensors"
refuses 1 "model-00002-of-00002.safetensors" "$CRIA" inspect "$dir/hf"
say $? "a missing shard"

refuses 2 "--temp|hot" "$CRIA" generate -m "$gguf" --temp hot -p x
say $? "a word for a number"
refuses 2 "--isa|z80|generic" "$CRIA" generate -m "$gguf" --isa z80 -p x
say $? "an unknown kernel set"
refuses 2 "--prompt and --file" "$CRIA" generate -m "$gguf" -p x -f y
say $? "two prompts"
refuses 2 "q4_k_x|q4_k_m" "$CRIA" quantize "$gguf" "$dir/out.gguf" --type q4_k_x
say $? "an unknown type"
refuses 1 "exists|--overwrite" bash -c ": > '$dir/out.gguf'; '$CRIA' convert -q '$gguf' '$dir/out.gguf'"
say $? "an output that exists"
cp "$gguf" "$dir/self.gguf"
refuses 1 "self.gguf" "$CRIA" convert -q --overwrite "$dir/self.gguf" "$dir/self.gguf" && cmp -s "$gguf" "$dir/self.gguf"
say $? "writing over the input"
refuses 1 "/nowhere" "$CRIA" convert -q "$gguf" /nowhere/x.gguf
say $? "an output folder that is not there"

if [ "$(id -u)" = 0 ] && mkdir "$dir/disk" && mount -t tmpfs -o size=64k tmpfs "$dir/disk" 2> /dev/null; then
	refuses 1 "disk" "$CRIA" convert -q "$gguf" "$dir/disk/x.gguf" && [ -z "$(ls -A "$dir/disk")" ]
	say $? "a full disk leaves nothing, GGUF"
	refuses 1 "disk" "$CRIA" convert -q "$gguf" "$dir/disk/hf" && [ -z "$(ls -A "$dir/disk")" ]
	say $? "a full disk leaves nothing, directory"
	umount "$dir/disk"
else
	skip "a full disk" "no right to mount a small one"
fi

if [ -f "$model" ]; then
	head -c 200000 /dev/urandom | base64 > "$dir/long"
	refuses 1 "context|--ctx" "$CRIA" generate -q -m "$model" --raw -f "$dir/long" -c 512
	say $? "a prompt longer than the context"
	refuses 2 "the text has 0 tokens" "$CRIA" perplexity -q -m "$model" -f /dev/null
	say $? "an empty text for perplexity"
	refuses 2 "99999999|token" "$CRIA" generate -q -m "$model" --ids -p '[1, 99999999]'
	say $? "ids outside the vocabulary"
	cp "$model" "$dir/shrinks.gguf"
	"$CRIA" generate -q -m "$dir/shrinks.gguf" --raw -p "Once upon a time" -n 4000 --ignore-eos > /dev/null 2> "$dir/err" &
	pid=$!
	sleep 2
	truncate -s 1000000 "$dir/shrinks.gguf"
	wait $pid
	[ $? = 1 ] && [ "$(wc -l < "$dir/err")" = 1 ] && grep -q "became shorter" "$dir/err"
	say $? "a mapped file that is cut short while in use"
else
	skip "requests that cannot be" "the default model is not here"
fi
plan
