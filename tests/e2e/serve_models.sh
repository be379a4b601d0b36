#!/bin/bash
# serve_models.sh - cria serve --models: models of a directory, loaded when they are named and unloaded when
# another needs their memory. Needs the default model and curl.
. "$(dirname "$0")/tap.bash"
. "$(dirname "$0")/serve.bash"

mkdir "$dir/models"
for name in a b c; do ln -s "$model" "$dir/models/$name.gguf"; done
echo "no model" > "$dir/models/notes.txt"
what=(--models "$dir/models" -c 512 --parallel 2 --batch 64)
ask() { post /v1/chat/completions "{\"model\":\"$1\",$question,\"max_tokens\":16}"; }
is_paris() { [ "$status" = 200 ] && py "d['model'] == '$1' and d['choices'][0]['message']['content'] == 'The capital of France is Paris.'"; }
loaded() { curl -s -m 10 "$url/v1/models" | python3 -c 'import json,sys; print(*[m["id"] for m in json.load(sys.stdin)["data"] if m["meta"]["loaded"]])'; }
count() { grep -c "$1" "$dir/server.err"; }
# in_log LINE: within 30 s
in_log() { for _ in $(seq 300); do grep -q "$1" "$dir/server.err" && return 0; sleep 0.1; done; echo "# the log has no \"$1\""; return 1; }
# hold NAME: a stream that goes on until its curl ends; it has begun.
hold() {
	: > "$dir/held.$1"
	curl -s -N -o "$dir/held.$1" "$url/v1/completions" -d "{\"model\":\"$1\",\"prompt\":\"Once\",\"max_tokens\":100000,\"ignore_eos\":true,\"stream\":true}" &
	held=$!
	for _ in $(seq 300); do [ -s "$dir/held.$1" ] && return 0; sleep 0.1; done
	return 1
}

run "$CRIA" serve --models "$dir/models" -m "$model"
[ $? = 2 ] && grep -q -- '--model is for a server of one model' "$dir/err"
say $? "not beside -m"
mkdir "$dir/empty"
run "$CRIA" serve --models "$dir/empty"
[ $? = 2 ] && grep -q 'no GGUF file' "$dir/err" && ! run "$CRIA" serve --models "$dir/nowhere" && grep -q 'give a directory' "$dir/err"
say $? "an empty directory, and none"

# ---- one after the other ----
start
say $? "listens"
get /v1/models && py '[m["id"] for m in d["data"]] == ["a","b","c"] and not any(m["meta"]["loaded"] for m in d["data"])'
say $? "lists what is there, nothing is loaded"
ask a && is_paris a && [ "$(loaded)" = a ] && get /v1/models/a && py 'd["meta"]["n_ctx"] == 512'
say $? "loads what is named"
while IFS='|' read -r body want code; do
	post /v1/chat/completions "$body" && [ "$status" = "$want" ] && py "(e := d['error'])['code'] == '$code' and e['param'] == 'model'"
	say $? "refuses $body"
done <<'ROWS'
{"messages":[{"role":"user","content":"x"}]}|400|missing_required_parameter
{"model":7,"messages":[{"role":"user","content":"x"}]}|400|invalid_value
{"model":"../a","messages":[{"role":"user","content":"x"}]}|404|model_not_found
{"model":"notes.txt","messages":[{"role":"user","content":"x"}]}|404|model_not_found
ROWS
post /v1/completions '{"model":"a",' && [ "$status" = 400 ] && py 'd["error"]["code"] == "invalid_json"'
say $? "refuses what is no JSON"
for i in 1 2 3 4 5 6; do curl -s -m 300 -o "$dir/b.$i" "$url/v1/chat/completions" -d "{\"model\":\"b\",$question,\"max_tokens\":16}" & waits[i]=$!; done
ask a && is_paris a
rc=$?
wait "${waits[@]}"
[ $rc = 0 ] && [ "$(grep -l '"model":"b".*The capital of France is Paris\.' "$dir"/b.? | wc -l)" = 6 ] && [ "$(count 'model b is loaded')" = 1 ]
say $? "six ask at once for one that is not loaded: it is loaded once, another answers meanwhile"
post /tokenize '{"model":"b","content":"hello"}' && py 'd["max_model_len"] == 512' &&
	post /v1/embeddings '{"model":"b","input":"hello"}' && py 'd["model"] == "b"' &&
	post /v1/rerank '{"model":"b","query":"x","documents":["y"]}' && py 'd["model"] == "b"' &&
	post /v1/responses '{"model":"b","input":"hello","max_output_tokens":3}' && py 'd["model"] == "b"' &&
	post /v1/messages '{"model":"b","max_tokens":3,"messages":[{"role":"user","content":"hello"}]}' && py 'd["model"] == "b"'
say $? "every API has the choice"
[ "$(metric 'cria_model_requests_total{model="a"}')" = 2 ] && [ "$(metric 'cria_model_bytes{model="c"}')" = 0 ] && n_bytes=$(metric 'cria_model_bytes{model="a"}') && [ "$n_bytes" -gt 100000000 ]
say $? "metrics of each"
ln -s "$model" "$dir/models/new.gguf" && ask new && is_paris new && rm "$dir/models/c.gguf" && get /v1/models && py '[m["id"] for m in d["data"]] == ["a","b","new"]'
say $? "files that come and go"
echo "GGUF? not this one" > "$dir/models/bad.gguf"
ask bad && [ "$status" = 500 ] && py 'd["error"]["param"] == "model"' && in_log 'model bad cannot be loaded: .*bad.gguf' && ask a && is_paris a &&
	rm "$dir/models/bad.gguf" && ln -s "$model" "$dir/models/bad.gguf" && ask bad && is_paris bad
say $? "a broken file is refused, mended it is loaded"
stop
say $? "ends"
rm "$dir/models/bad.gguf" "$dir/models/new.gguf" && ln -s "$model" "$dir/models/c.gguf"

# ---- room for two ----
two=$(python3 -c "print($n_bytes * 2.5 / 1e9)")
start --models-memory "$two" --drain 1
say $? "listens, with memory for two"
ask a && ask b && ask a && ask c && is_paris c && [ "$(loaded)" = "a c" ] && in_log 'model b is unloaded'
say $? "the one that was used longest ago makes room"
n_before=$(metric cria_generation_tokens_total)
ask b && is_paris b && [ "$(loaded)" = "b c" ] && [ "$(metric cria_generation_tokens_total)" -gt "$n_before" ]
say $? "and comes back; counters go on"
hold b && held_b=$held && hold c && held_c=$held
say $? "both are at work"
curl -s -m 2 -o "$dir/gone" "$url/v1/completions" -d '{"model":"a","prompt":"x","max_tokens":1}'
[ $? = 28 ] && until_metric cria_requests_waiting 0 && post /v1/completions '{"model":"b","prompt":"x","max_tokens":1}' && [ "$status" = 200 ] && [ "$(loaded)" = "b c" ]
say $? "who waits for memory waits; when he leaves, nothing has to make room"
curl -s -m 300 -o "$dir/a.out" "$url/v1/completions" -d '{"model":"a","prompt":"x","max_tokens":1}' & waits_a=$!
until_metric cria_requests_waiting 1
curl -s -m 300 -o "$dir/late.out" "$url/v1/completions" -d '{"model":"b","prompt":"x","max_tokens":1}' & late=$!
curl -s -m 300 -o "$dir/late2.out" "$url/v1/completions" -d '{"model":"c","prompt":"x","max_tokens":1}' & late2=$!
until_metric cria_requests_running 2
kill $held_b $held_c
wait $waits_a $late $late2
grep -q '"model":"a"' "$dir/a.out" && grep -q '"model":"b"' "$dir/late.out" && grep -q '"model":"c"' "$dir/late2.out"
say $? "it is loaded when one of them is done, and all are answered"
ask b && ask c && hold b && hold c
curl -s -m 300 -w '%{http_code}' -o "$dir/a.out" "$url/v1/completions" -d '{"model":"a","prompt":"x","max_tokens":1}' > "$dir/a.status" & waits_a=$!
until_metric cria_requests_waiting 1
stop
rc=$?
wait $waits_a
[ $rc = 0 ] && [ "$(cat "$dir/a.status")" = 503 ] && grep -q shutting_down "$dir/a.out"
say $? "SIGTERM while one waits: it is told so"

# ---- room for none ----
start --models-memory 0.05
ask a && [ "$status" = 500 ] && py '"--models-memory" in d["error"]["message"] and "0.05" in d["error"]["message"]' && [ "$(loaded)" = "" ]
say $? "one that can never fit"
stop
plan
