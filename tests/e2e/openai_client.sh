#!/bin/bash
# openai_client.sh - the official openai client makes every call (tests/oracle/openai_client.py). Needs the
# default model and a Python with openai: $CRIA_ORACLE_PYTHON, else python3.
. "$(dirname "$0")/tap.bash"

python=${CRIA_ORACLE_PYTHON:-python3}
if [ ! -f "$model" ]; then skip "openai client" "the default model is not here"; plan; exit 0; fi
if ! "$python" -c 'import openai' 2> /dev/null; then skip "openai client" "$python has no openai"; plan; exit 0; fi
unset http_proxy https_proxy all_proxy
echo "tester $(printf sk-test | sha256sum | cut -d' ' -f1)" > "$dir/keys"
"$CRIA" serve -m "$model" --port 0 -c 2048 --keys "$dir/keys" --lora "mine=$root/tests/golden/lora/smollm2" \
	--lora-dir "$root/tests/golden/lora" 2> "$dir/server.err" &
pid=$!
trap 'kill $pid 2> /dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 300); do grep -q '^listening on' "$dir/server.err" && break; sleep 0.1; done
"$python" "$root/tests/oracle/openai_client.py" "$(sed -n 's/^listening on //p' "$dir/server.err")" sk-test
