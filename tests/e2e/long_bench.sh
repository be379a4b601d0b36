#!/bin/bash
# long_bench.sh - every command of bench/ says what it is for, and its --quick --json is a list of rows.
. "$(dirname "$0")/tap.bash"

build=$(dirname "$CRIA")
has_rows='isinstance(d, list) and d and all({"name", "unit", "ours", "peer", "peer_name", "ratio", "target"} <= set(r) for r in d)'
for command in infer kernels quantize speculation tokenizer; do
	run "$root/bench/$command" --help
	say $? "bench/$command --help"
	if [ ! -f "$model" ]; then skip "bench/$command" "the default model is not here"; continue; fi
	if [ $command = tokenizer ] && [ ! -f "$data/tokenizer/llama3-tokenizer.model" ]; then skip "bench/tokenizer" "its texts are not here"; continue; fi
	[ $command = infer ] && no_peers=--no-peers || no_peers=
	run "$root/bench/$command" --build "$build" --quick --json $no_peers
	py "$has_rows"
	say $? "bench/$command --quick --json"
done
run "$root/bench/get-peers" --quick --json
py "$has_rows"
say $? "bench/get-peers --quick --json"
plan
