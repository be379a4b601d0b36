#!/bin/bash
# long_faults.sh - cria serve under load that means no good, or just much: 10,000 idle connections, 500 that
# drip, more than there are files, 64 chats at once, a long prompt on every thread. Needs the default model and curl.
# CRIA_HEALTH_MS, CRIA_SLOWER: the bounds in time (50 ms; 1.05, slower by at most 5 %).
. "$(dirname "$0")/tap.bash"
. "$(dirname "$0")/serve.bash"

# ---- connections ----
# four answers at once; prints the fastest of 5 runs, in seconds
chats() {
	for _ in 1 2 3 4 5; do
		curl -s -m 120 -o /dev/null -w '%{time_total}\n' "$url/v1/completions" -d '{"prompt":["a","b","c","d"],"max_tokens":200,"ignore_eos":true}'
	done | sort -n | head -n 1
}
resident() { metric process_resident_memory_bytes; }
start --parallel 16
say $? "listens"
chats > /dev/null
alone=$(chats) before=$(resident)
mkfifo "$dir/hold"
probe idle 10000 < "$dir/hold" > "$dir/held" &
holder=$!
exec 4> "$dir/hold"
for _ in $(seq 300); do [ -s "$dir/held" ] && break; sleep 0.1; done
[ "$(cat "$dir/held")" = 10000 ] && [ "$(metric cria_connections)" -ge 10000 ]
say $? "10,000 idle connections"
after=$(resident) beside=$(chats)
exec 4>&-
wait $holder
echo "# $(python3 -c "print(f'{($after - $before) / 1e6:.1f} MB more; four answers of 200 tokens in $alone s alone, $beside s beside them')")"
python3 -c "import sys; sys.exit(not $after - $before < 200e6)"
say $? "take less than 200 MB"
python3 -c "import sys; sys.exit(not $beside < $alone * ${CRIA_SLOWER:-1.05})"
say $? "and do not slow the chats down"
until_metric cria_connections 1
say $? "and are forgotten"

probe loris 500 > "$dir/cut" &
holder=$!
sleep 1
post /v1/chat/completions "{$question,\"max_tokens\":16}" && [ "$status" = 200 ] && wait $holder && [ "$(cat "$dir/cut")" = 500 ]
say $? "500 headers that drip are cut off, chats go on meanwhile"
[ "$(probe many 64 40)" = 64 ] && until_metric cria_requests_running 0
say $? "64 chats at once, none fails"
stop
say $? "ends well"

(ulimit -n 100; exec bash -c 'exec "$0" "$@"' "$CRIA" serve -m "$model" -c 256 --port 0 2> "$dir/few.err") &
pid=$!
for _ in $(seq 100); do grep -qs '^listening on' "$dir/few.err" && break; sleep 0.1; done
url=$(sed -n 's/^listening on //p' "$dir/few.err")
probe idle 36 < "$dir/hold" > "$dir/held" &
holder=$!
exec 4> "$dir/hold"
for _ in $(seq 100); do [ -s "$dir/held" ] && break; sleep 0.1; done
curl -s -m 20 -o "$dir/out" "$url/health" 4>&- &
late=$!
sleep 1
kill -0 $late
say $? "who finds all places taken waits"
exec 4>&-
wait $holder
wait $late && py 'd["status"] == "ok"'
say $? "and is answered when one is free"
stop
say $? "ends well"

# ---- a long prompt on every thread ----
start -c 8192 --threads "$(nproc)"
python3 -c 'import json; print(json.dumps({"prompt":"many words " * 2048,"max_tokens":1}))' > "$dir/long"
curl -s -d "@$dir/long" "$url/v1/completions" > "$dir/answer" &
busy=$!
sleep 0.2
slowest=$(probe health 40)
kill -0 $busy
still=$?
wait $busy
cp "$dir/answer" "$dir/out"
echo "# slowest answer of /health: $slowest ms"
[ $still = 0 ] && py 'd["usage"]["prompt_tokens"] >= 4096' && [ "$slowest" -le "${CRIA_HEALTH_MS:-50}" ]
say $? "health while 4,096 tokens are read on every thread"
stop
say $? "ends well"
plan
