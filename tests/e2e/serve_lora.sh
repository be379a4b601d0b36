#!/bin/bash
# serve_lora.sh - adapters in cria serve: chosen by name, several in one batch, loaded and unloaded while it
# runs, and what is refused. Needs the default model and curl.
. "$(dirname "$0")/tap.bash"
. "$(dirname "$0")/serve.bash"

mine=$root/tests/golden/lora/smollm2
mkdir "$dir/adapters" "$dir/adapters/sub"
cp -r "$mine" "$dir/adapters/sub/more"
sed 's/"lora_alpha": *[0-9.]*/"lora_alpha": -9/' "$mine/adapter_config.json" > "$dir/adapters/sub/more/adapter_config.json"
cp -r "$root/tests/golden/lora/tiny" "$dir/adapters/tiny"
ln -s "$mine" "$dir/adapters/link"
cp -r "$mine" "$dir/adapters/cut" && truncate -s 30000 "$dir/adapters/cut/adapter_model.safetensors"
cp -r "$mine" "$dir/outside"

text() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["choices"][0]["text"])' "$dir/out"; }
# ask MODEL: 12 tokens behind a text, to $dir/out.
ask() { post /v1/completions "{\"model\":\"$1\",\"prompt\":\"The capital of France is\",\"max_tokens\":12,\"temperature\":0,\"ignore_eos\":true}"; }
load() { post /v1/load_lora_adapter "{\"lora_name\":\"$1\",\"lora_path\":\"$2\"}"; }
unload() { post /v1/unload_lora_adapter "{\"lora_name\":\"$1\"}"; }
cached() { py "d['usage']['prompt_tokens_details']['cached_tokens'] == $1"; }

start --parallel 4 --lora "mine=$mine" --lora-dir "$dir/adapters"
say $? "listens"
id=$(curl -s "$url/v1/models" | python3 -c 'import json,sys; print(json.load(sys.stdin)["data"][0]["id"])')
get /v1/models && py "[(m['id'], m['parent']) for m in d['data']] == [('$id', None), ('mine', '$id')] and d['data'][1]['meta']['rank'] == 2" &&
	get /v1/models/mine && [ "$status" = 200 ] && py 'd["meta"]["name"] == "mine"'
say $? "is listed with its parent"
"$CRIA" generate -m "$model" --raw -p 'The capital of France is' -n 12 --temp 0 --ignore-eos --lora "$mine" -q 2> /dev/null > "$dir/want"
ask mine && py 'd["model"] == "mine"' && cached 0 && text > "$dir/text.mine" && [ -s "$dir/want" ] && diff "$dir/want" "$dir/text.mine"
say $? "answers as cria generate --lora does"
ask "$id" && cached 0 && text > "$dir/text.base" && py "d['model'] == '$id'" && ! cmp -s "$dir/text.base" "$dir/text.mine"
say $? "and the model as without: no beginning of the other's is used"
ask mine && cached 4 && ask "$id" && cached 4
say $? "each finds its own beginning"

# ---- loaded while it runs ----
load more sub/more && [ "$status" = 200 ] && grep -q "^Success: LoRA adapter 'more' added successfully.$" "$dir/out"
say $? "loads one"
ask more && cached 0 && text > "$dir/text.more" && ! cmp -s "$dir/text.more" "$dir/text.mine" && ! cmp -s "$dir/text.more" "$dir/text.base"
say $? "which answers otherwise"
for i in 1 2 3; do
	for m in mine more "$id"; do
		curl -s "$url/v1/completions" -d "{\"model\":\"$m\",\"prompt\":\"The capital of France is\",\"max_tokens\":12,\"temperature\":0,\"ignore_eos\":true}" > "$dir/beside.$m.$i" &
		waits+=($!)
	done
done
wait "${waits[@]}"
for m in mine more "$id"; do
	for i in 1 2 3; do
		cp "$dir/beside.$m.$i" "$dir/out" && text > "$dir/text.beside" && cmp -s "$dir/text.beside" "$dir/text.${m/#$id/base}" || echo "# $m $i"
	done
done > "$dir/err"
[ ! -s "$dir/err" ]
say $? "nine at once, with two adapters and none, each as alone"
post /v1/chat/completions "{$question,\"model\":\"more\",\"max_tokens\":4,\"stream\":true}" && as_stream && py 'all(e["model"] == "more" for e in d["events"])' &&
	post /v1/responses '{"model":"more","input":"Hello","max_output_tokens":4}' && py 'd["model"] == "more"' &&
	post /v1/messages '{"model":"more","messages":[{"role":"user","content":"Hello"}],"max_tokens":4}' && py 'd["model"] == "more"'
say $? "chats, responses and messages"
post /v1/embeddings '{"model":"more","input":"Hello"}' && cp "$dir/out" "$dir/vector" && post /v1/embeddings '{"input":"Hello"}' &&
	py "d['data'][0]['embedding'] != (v := json.load(open('$dir/vector')))['data'][0]['embedding'] and v['model'] == 'more'"
say $? "vectors"
[ "$(metric 'cria_adapter_requests_total{adapter="more"}')" = 8 ] && [ "$(metric 'cria_adapter_bytes{adapter="more"}')" -gt 80000 ]
say $? "metrics"

# ---- at once, and without anybody to tell ----
waits=()
for i in 1 2 3 4 5 6 7 8; do
	curl -s -o /dev/null -w '%{http_code}\n' "$url/v1/load_lora_adapter" -d "{\"lora_name\":\"n$((i % 4))\",\"lora_path\":\"sub/more\"}" > "$dir/load.$i" &
	waits+=($!)
done
wait "${waits[@]}"
get /v1/models && py "len([m for m in d['data'] if m['id'][0] == 'n']) == $(cat "$dir"/load.? | grep -c 200)" && [ "$(cat "$dir"/load.? | grep -cE '^(200|429|400)$')" = 8 ] &&
	grep -q 200 "$dir"/load.?
say $? "eight loads at once: one after the other, or refused; a name once"
for i in 0 1 2 3; do unload n$i; done
python3 - "${url#*//}" <<-'PY'
	import socket, sys
	host, port = sys.argv[1].split(":")
	body = b'{"lora_name":"left","lora_path":"sub/more"}'
	s = socket.create_connection((host, int(port)))
	s.sendall(b"POST /v1/load_lora_adapter HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s" % (sys.argv[1].encode(), len(body), body))
	s.close()
PY
for _ in $(seq 50); do ask left; [ "$status" = 200 ] && break; sleep 0.1; done
text | cmp -s - "$dir/text.more" && unload left && [ "$status" = 200 ]
say $? "a load whose client has left"

# ---- what is refused ----
# body of a load | status | param | words
while IFS='|' read -r body want param words; do
	post /v1/load_lora_adapter "$body"
	[ "$status" = "$want" ] && py "(e := d['error'])['param'] == ${param:-None} and '''$words''' in e['message']"
	say $? "refuses to load $body"
done <<ROWS
{"lora_path":"sub/more"}|400|'lora_name'|give both
{"lora_name":"x"}|400|'lora_path'|give both
{"lora_name":"more","lora_path":"sub/more"}|400|'lora_name'|loaded already
{"lora_name":"$id","lora_path":"sub/more"}|400|'lora_name'|the model itself
{"lora_name":"default","lora_path":"sub/more"}|400|'lora_name'|the model itself
{"lora_name":"","lora_path":"sub/more"}|400|'lora_name'|1 to 127
{"lora_name":"a\"b","lora_path":"sub/more"}|400|'lora_name'|1 to 127
{"lora_name":"$(printf 'n%.0s' {1..128})","lora_path":"sub/more"}|400|'lora_name'|1 to 127
{"lora_name":"x","lora_path":"../outside"}|400|'lora_path'|not in the directory
{"lora_name":"x","lora_path":"$dir/outside"}|400|'lora_path'|not in the directory
{"lora_name":"x","lora_path":"link"}|400|'lora_path'|not in the directory
{"lora_name":"x","lora_path":"nothing"}|400|'lora_path'|not in the directory
{"lora_name":"x","lora_path":""}|400|'lora_path'|not in the directory
{"lora_name":"x","lora_path":"."}|400|'lora_path'|not in the directory
{"lora_name":"x","lora_path":"tiny"}|400|'lora_path'|this model's has 576 columns
{"lora_name":"x","lora_path":"sub"}|400|'lora_path'|adapter_config.json
{"lora_name":"x","lora_path":"cut"}|400|'lora_path'|adapter_model.safetensors
{"lora_name":"x","lora_path":"tiny/adapter_config.json"}|400|'lora_path'|GGUF
{"lora_name":"x","lora_path":"sub/more","load_inplace":true}|400|'load_inplace'|load_inplace
ROWS
unload nobody && [ "$status" = 404 ] && ask nobody && [ "$status" = 404 ] && py 'd["error"]["code"] == "model_not_found"'
say $? "a name that nobody has"

# ---- unloaded ----
curl -s -N "$url/v1/completions" -d '{"model":"more","prompt":"One","max_tokens":400,"temperature":0,"ignore_eos":true,"stream":true}' > "$dir/sse" &
stream=$!
until_metric cria_requests_running 1
curl -s -o "$dir/gone" -w '%{http_code}' "$url/v1/unload_lora_adapter" -d '{"lora_name":"more"}' > "$dir/status" &
late=$!
sleep 0.2
ask more && [ "$status" = 404 ] && kill -0 $late $stream && get /v1/models && py 'len(d["data"]) == 2'
say $? "is gone for new requests while the old one runs"
load more sub/more && [ "$status" = 200 ] && ask more && text | cmp -s - "$dir/text.more" && kill -0 $late
say $? "another may have its name meanwhile, and finds nothing of its cache"
wait $stream $late
[ "$(cat "$dir/status")" = 200 ] && grep -q "removed successfully" "$dir/gone" && grep -q 'data: \[DONE\]' "$dir/sse" && [ "$(grep -c '^data: {' "$dir/sse")" -ge 400 ]
say $? "the old one ends whole, then the unloading"
curl -s -N "$url/v1/completions" -d '{"model":"more","prompt":"One","max_tokens":100,"temperature":0,"ignore_eos":true,"stream":true}' > "$dir/sse" &
stream=$!
until_metric cria_requests_running 1
curl -s -m 0.1 "$url/v1/unload_lora_adapter" -d '{"lora_name":"more"}' > /dev/null
wait $stream
until_metric cria_requests_running 0 && ask more && [ "$status" = 404 ] && grep -q 'adapter more is unloaded' "$dir/server.err"
say $? "if its client leaves, too"
unload mine && [ "$status" = 200 ] && get /v1/models && py 'len(d["data"]) == 1' && ask "$id" && text | cmp -s - "$dir/text.base"
say $? "one of the start"
load more sub/more
curl -s -N "$url/v1/completions" -d '{"model":"more","prompt":"One","max_tokens":300,"temperature":0,"ignore_eos":true,"stream":true}' > "$dir/sse" &
until_metric cria_requests_running 1
curl -s "$url/v1/unload_lora_adapter" -d '{"lora_name":"more"}' > "$dir/gone" &
sleep 0.1
stop && grep -q 'removed successfully' "$dir/gone"
say $? "SIGTERM lets both end"

start && load more sub/more && [ "$status" = 403 ] && py 'd["error"]["code"] == "not_enabled"' && unload more && [ "$status" = 403 ]
say $? "nothing is loaded without --lora-dir"
stop
refuses 2 "--lora-dir|no directory" "$CRIA" serve -m "$model" --port 0 -q --lora-dir "$model"
say $? "a directory that is none"
refuses 2 "--lora|the model itself" "$CRIA" serve -m "$model" --port 0 -q --alias x --lora "x=$mine"
say $? "a name that is the model's"
refuses 2 "two adapters are called x" "$CRIA" serve -m "$model" --port 0 -q --lora "x=$mine" --lora "x=$mine:0.5"
say $? "two of a name"
plan
