#!/bin/bash
# long_forms.sh - a model of Llama 3.2's shape (grouped queries, 128,256 tokens, scaled rope; random weights,
# 64 wide) as Hugging Face directory, GGUF and Meta shards: transformers' logits from each, and the
# same tokens. Made by tests/oracle/model.py --big with $CRIA_ORACLE_PYTHON, else python3.
. "$(dirname "$0")/tap.bash"

python=${CRIA_ORACLE_PYTHON:-python3}
vocab=$data/tokenizer/llama3-tokenizer.model
if [ ! -f "$vocab" ] || ! "$python" -c 'import gguf, torch, transformers, tiktoken' 2> /dev/null; then
	skip "all forms" "the Llama 3 tokenizer or the reference libraries are not here"
	plan
	exit 0
fi
run "$python" "$root/tests/oracle/model.py" --big "$dir/big" "$vocab"
say $? "the oracle makes the models"
for form in hf model-bf16.gguf meta; do
	"$python" -c "import json; print(json.load(open('$dir/big/logits.json'))['big']['tokens'])" > "$dir/ids"
	run "$CRIA" generate -q -m "$dir/big/$form" --raw --ids -f "$dir/ids" -n 0 --dump-logits "$dir/l.npy" --kv f32 --json
	say $? "$form runs"
	"$python" - "$dir/big/logits.json" "$dir/l.npy" > "$dir/out" 2>&1 <<-'PY'
		import json, sys
		import numpy as np
		w = json.load(open(sys.argv[1]))["big"]
		ours = np.load(sys.argv[2])
		worst = max(float(abs(ours[i] - np.array(r)).max()) for i, r in zip(w["rows"], w["logits"]))
		same = all(int(ours[i].argmax()) == int(np.argmax(r)) for i, r in zip(w["rows"], w["logits"]))
		print(f"logits within {worst:.2e} of transformers, likeliest tokens equal: {same}")
		sys.exit(not (worst < 2e-3 and same))
	PY
	say $? "$form: $(tail -n 1 "$dir/out")"
	"$python" -c "import json; print(json.dumps(json.load(open('$dir/big/logits.json'))['big']['text']))" |
		"$CRIA" tokenize -m "$dir/big/$form" --jsonl > "$dir/out"
	py 'd == json.load(open("'"$dir"'/big/logits.json"))["big"]["ids"]'
	say $? "$form: the reference's tokens"
done
plan
