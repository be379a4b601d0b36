#!/bin/bash
# serve_fair.sh - cria serve between clients: whose turn it is, priorities and what keys allow of them, each
# key's share of the queue; and where a prompt left the cached one. Needs the default model and curl.
. "$(dirname "$0")/tap.bash"
. "$(dirname "$0")/serve.bash"
what=(-m "$model" -c 8192) # long enough for an answer that holds the place, on any machine

hash() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
printf 'alice %s\nbob %s\nboss %s 0 0 -10\nbatch %s 0 0 10\n' "$(hash sk-alice)" "$(hash sk-bob)" "$(hash sk-boss)" "$(hash sk-batch)" > "$dir/keys"
# ask KEY MORE: 12 tokens; the moment it ends goes to $dir/ended with the key.
ask() {
	curl -s -m 120 -o "$dir/answer.$3" -w "%{http_code} $1\n" "$url/v1/completions" -H "Authorization: Bearer sk-$1" \
		-d "{\"prompt\":\"Once upon a time $3\",\"max_tokens\":12,\"temperature\":0,\"ignore_eos\":true$2}" >> "$dir/ended"
}
bearer() { printf 'Authorization: Bearer sk-%s' "$1"; }
waiting() { curl -s -m 10 -H "$(bearer alice)" "$url/metrics" | sed -n 's/^cria_requests_waiting //p'; }
# hold: an answer that takes the only place until release.
hold() {
	rm -f "$dir/held"
	curl -s -N -o "$dir/held" "$url/v1/completions" -H "$(bearer alice)" -d '{"prompt":"Hold","max_tokens":8000,"ignore_eos":true,"stream":true}' &
	held=$!
	for _ in $(seq 600); do [ -s "$dir/held" ] && break; sleep 0.05; done # long enough for sanitizers
}
release() { kill $held; wait $held 2> /dev/null; }
# all_wait N: until N requests wait in the engine.
all_wait() { for _ in $(seq 600); do [ "$(waiting)" = "$1" ] && return 0; sleep 0.05; done; return 1; }

start --keys "$dir/keys" --parallel 1 --queue 40
say $? "listens"
: > "$dir/ended"
hold
waits=()
for i in 1 2 3 4 5 6 7 8 9 10; do ask alice "" "a$i" & waits+=($!); done
all_wait 10
for i in 1 2; do ask bob "" "b$i" & waits+=($!); done
all_wait 12 && release
wait "${waits[@]}"
[ "$(grep -c '^200' "$dir/ended")" = 12 ] && [ "$(head -n 5 "$dir/ended" | grep -c bob)" = 2 ]
say $? "two of bob's behind ten of alice's are among the first five"
stop

# each eighth turn is the oldest's: here none comes
start --keys "$dir/keys" --parallel 1 --queue 40
: > "$dir/ended"
hold
waits=()
ask alice ',"priority":5' p5 & waits+=($!)
all_wait 1
ask batch "" p10 & waits+=($!)
all_wait 2
ask bob "" p0 & waits+=($!)
all_wait 3
ask boss ',"priority":-10' p-10 & waits+=($!)
all_wait 4 && release
wait "${waits[@]}"
[ "$(tr '\n' ' ' < "$dir/ended")" = "200 boss 200 bob 200 alice 200 batch " ]
say $? "the lowest number first; a key's limit is its number when it says none"
stop
start --keys "$dir/keys" --parallel 1 --queue 40
: > "$dir/ended"
hold
waits=()
ask batch ',"priority":1000' z & waits+=($!)
all_wait 1
for i in 1 2 3 4 5 6 7 8 9 10; do ask boss ',"priority":-10' "h$i" & waits+=($!); done
all_wait 11 && release
wait "${waits[@]}"
[ "$(sed -n 7p "$dir/ended")" = "200 batch" ] && [ "$(grep -c '200 boss' "$dir/ended")" = 10 ]
say $? "the eighth turn is the oldest's, whatever its number"
# path | body | key
while IFS='|' read -r path body key; do
	post "$path" "$body" -H "$(bearer "$key")"
	[ "$status" = 400 ] && py 'd["error"].get("param", "priority") == "priority" and "priority" in d["error"]["message"]'
	say $? "$key at $path may not"
done <<-'ROWS'
	/v1/completions|{"prompt":"x","priority":-1}|alice
	/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"priority":-11}|boss
	/v1/responses|{"input":"x","priority":9}|batch
	/v1/messages|{"messages":[{"role":"user","content":"x"}],"max_tokens":1,"priority":9}|batch
	/v1/completions|{"prompt":"x","priority":1001}|alice
	/v1/completions|{"prompt":"x","priority":"high"}|alice
ROWS

# ---- where a prompt left the cached one ----
details() { py "d['usage']['prompt_tokens_details'] == $1"; }
text() { post /v1/completions "{\"prompt\":[$1],\"max_tokens\":1,\"temperature\":0}" -H "$(bearer bob)"; }
text 504,3575,282,4649,314,504,504,504 && details '{"cached_tokens": 0}' && text 504,3575,282,4649,314,504,504,504 && details '{"cached_tokens": 7}'
say $? "nothing is like it; all of it is"
text 504,3575,282,4649,282,504 && details '{"cached_tokens": 4, "diverged_at_token": 4}' && grep -q 'cached=4 diverged_at=4' "$dir/server.err"
say $? "it leaves the cached one, and the log says where"
post /v1/responses '{"input":"What is it?","max_output_tokens":1}' -H "$(bearer bob)" && post /v1/responses '{"input":"What was it?","max_output_tokens":1}' -H "$(bearer bob)" &&
	py '(u := d["usage"]["input_tokens_details"])["diverged_at_token"] == u["cached_tokens"] > 4'
say $? "in responses"
stop
say $? "ends well"

# ---- a key's share of the queue ----
start --keys "$dir/keys" --parallel 1 --queue 6 --log-json
: > "$dir/ended"
hold
waits=()
for i in 1 2 3; do ask alice "" "a$i" & waits+=($!); done
all_wait 3
post /v1/completions '{"prompt":"x","max_tokens":1}' -H "$(bearer alice)"
[ "$status" = 429 ] && header 'retry-after: [0-9]' && py '"key alice has 4" in d["error"]["message"]'
say $? "half of it, and no more"
post /v1/embeddings '{"input":"x"}' -H "$(bearer alice)" && [ "$status" = 429 ]
say $? "of all paths"
for i in 1 2 3; do ask bob "" "b$i" & waits+=($!); done
all_wait 6
post /v1/completions '{"prompt":"x","max_tokens":1}' -H "$(bearer boss)" && [ "$status" = 429 ] && py '"7 requests are running or waiting" in d["error"]["message"]'
say $? "another key has the rest, until it is full"
release
wait "${waits[@]}"
[ "$(grep -c '^200' "$dir/ended")" = 6 ] && text 504,3575,282 && text 504,3575,2 && grep -q '"diverged_at":2' "$dir/server.err" && stop
say $? "none was lost"
plan
