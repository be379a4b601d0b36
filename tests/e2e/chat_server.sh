#!/bin/bash
# chat_server.sh - cria chat --server: against a server of the test's that sends what it likes, and against cria serve.
. "$(dirname "$0")/tap.bash"
. "$(dirname "$0")/serve.bash"

python3 "$root/tests/tools/fake_openai.py" "$dir/sent" > "$dir/port" &
fake=$!
trap 'kill $fake $pid 2> /dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 50); do [ -s "$dir/port" ] && break; sleep 0.1; done
url=http://127.0.0.1:$(cat "$dir/port")
# ask MODEL [OPTION...]: one question
ask() { local m=$1; shift; echo 'Hi?' | "$CRIA" chat -q --server "$url" --server-model "$m" "$@" > "$dir/out" 2> "$dir/err"; }
answers() { ask "$@" && [ "$(cat "$dir/out")" = "Hello there" ]; }
fails() { local part=$1; shift; ask "$@"; [ $? = 1 ] && grep -qF -- "$part" "$dir/err" && [ "$(wc -l < "$dir/err")" = 1 ]; }
sent() { tail -n 1 "$dir/sent" > "$dir/out"; py "$1"; }

for m in plain crlf lines; do
	answers $m
	say $? "a stream: $m"
done
ask control && [ "$(cat "$dir/out")" = "[2JHello there" ]
say $? "control characters do not reach the terminal"
echo 'Hi?' | "$CRIA" chat -q --server "$url/v1/" > "$dir/out" 2> "$dir/err" && [ "$(cat "$dir/out")" = "Hello there" ]
say $? "the first model of the server, and an address with its path"
sent 'd["path"] == "/v1/chat/completions" and d["body"]["messages"] == [{"role": "user", "content": "Hi?"}] and d["body"]["stream"] and d["body"]["temperature"] == 0 and "top_p" not in d["body"] and d["key"] is None'
say $? "only what was given is sent; scripts get temperature 0"
echo sk-secret > "$dir/key"
answers plain --key-file "$dir/key" --temp 0.5 --top-p 0.9 -n 20 --seed 7 --system 'Be nice.' && sent 'd["key"] == "Bearer sk-secret" and (d["body"]["temperature"], d["body"]["top_p"], d["body"]["max_tokens"], d["body"]["seed"]) == (0.5, 0.9, 20, 7) and d["body"]["messages"][0] == {"role": "system", "content": "Be nice."}'
say $? "key, settings and system message"
printf 'Hi?\nAgain?\n/save %s/talk.json\n' "$dir" | "$CRIA" chat --server "$url" > "$dir/out" 2> "$dir/err" && sent '[m["role"] for m in d["body"]["messages"]] == ["user", "assistant", "user"]' && grep -q '3 tokens.*read 7 (and 5 cached)' "$dir/err" && grep -q '"plain"' "$dir/talk.json"
say $? "a conversation, what it took by the server's count, and /save"
fails 'the answer ended in the middle' cut
say $? "a stream that is cut"
fails 'out of  luck' error
say $? "an error in the stream, without its control characters"
fails "the server's stream" garbage
say $? "a stream that is no JSON"
ask empty && [ -z "$(tr -d '\n' < "$dir/out")" ]
say $? "events without text"
fails "a line of the server's stream" long
say $? "an event without end is refused"
ask length && grep -q Hello "$dir/out"
say $? "an answer that is cut at its length"
fails 'too many (status 429); it is busy: try again later (in 7 s)' busy
say $? "too many requests"
fails 'who are you (status 401); --key-file' denied
say $? "a wrong key"
fails 'it refused (status 502)' html
say $? "a page instead of an answer"
fails '(status 302)' moved
say $? "redirects are not followed"
(url=http://127.0.0.1:1; fails 'http://127.0.0.1:1/v1: ' x) && grep -q 'is the server running' "$dir/err"
say $? "no server there"
refuses 2 "--server|not an address" "$CRIA" chat -q --server ftp://x
say $? "an address of another kind is exit 2"
refuses 2 "--model|--server" "$CRIA" chat -q --server "$url" -m x
say $? "a model on this machine beside it is exit 2"
printf 'two words' > "$dir/key"
refuses 1 "a key is one word" "$CRIA" chat -q --server "$url" --key-file "$dir/key"
say $? "a key file with more than a key"
begin=$(date +%s)
timeout -s INT 2 "$CRIA" chat -q --server "$url" --server-model slow < <(echo 'Hi?'; sleep 9) > "$dir/out" 2> "$dir/err"
[ $(($(date +%s) - begin)) -lt 8 ] && grep -q Hello "$dir/out"
say $? "an interrupt ends a slow answer"
kill $fake
if [ ! -f "$model" ]; then
	skip "against cria serve" "the default model is not here"
	plan
	exit 0
fi
start
printf 'What is the capital of France?\nAnd of Italy?\n' | "$CRIA" chat -q --server "$url" --system 'Answer the question correctly.' > "$dir/out" 2> "$dir/err"
[ $? = 0 ] && grep -q Paris "$dir/out" && grep -q Rome "$dir/out"
say $? "against cria serve"
plan
