#!/bin/bash
# serve_sources.sh - cria serve --index: answers with references, over HTTP.
. "$(dirname "$0")/tap.bash"
. "$(dirname "$0")/serve.bash"

refuses 1 "none.db" "$CRIA" serve -q -m "$model" --port 0 --index "$dir/none.db"
say $? "a missing index: one line and exit 1"
mkdir "$dir/town" "$dir/attempts"
printf '# The old bridge\n\nThe old bridge over the Tamar was built in 1874 by the Northern Railway. It has five arches and is 120 metres long.\n' > "$dir/town/bridge.md"
printf '# The mill museum\n\nThe mill beside the bridge ground corn until 1911. It has been a museum since 1985, and is open from April to October.\n' > "$dir/town/mill.md"
printf '# Ünïcödé\n\nDer Müller von Überlingen hieß Jörg Größer und mahlte 1911 Korn.\n' > "$dir/town/müller.md"
python3 "$root/tests/tools/injected.py" "$CRIA" "$model" "$dir/attempts" write
db=$dir/town.db
"$CRIA" index -q "$db" "$dir/town" "$dir/attempts"
start --index "$db"
say $? "a server with an index starts"
asked='"messages":[{"role":"user","content":"When was the old bridge over the Tamar built, and by whom?"}],"temperature":0,"max_tokens":60'
chat=/v1/chat/completions

post $chat "{$asked,\"sources\":true}"
py 'd["choices"][0]["message"]["annotations"] and "1874" in d["choices"][0]["message"]["content"]'
say $? "an answer has annotations"
cp "$dir/out" "$dir/whole"
py 'all(a["type"] == "url_citation" and d["choices"][0]["message"]["content"][a["url_citation"]["start_index"]:a["url_citation"]["end_index"]] == "[%d]" % a["source"]["number"] for a in d["choices"][0]["message"]["annotations"])'
say $? "their indices are characters of the text"
py 'all(a["source"]["path"].endswith("/bridge.md") and open(a["source"]["path"], "rb").read().find(a["source"]["quote"].encode()) >= 0 for a in d["choices"][0]["message"]["annotations"])'
say $? "each quotes its document, and sources that are not used are not shown"
address=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["choices"][0]["message"]["annotations"][0]["url_citation"]["url"])' "$dir/whole")
get "$address" && [ "$status" = 200 ] && py '"five arches" in d["text"] and d["path"].endswith("/bridge.md") and d["heading"] == "The old bridge" and d["end_byte"] > d["begin_byte"]'
say $? "the address of a reference gives the passage"
get /v1/passages/999999 && [ "$status" = 404 ] && get /v1/passages/x && [ "$status" = 404 ] && get /v1/passages/-1 && [ "$status" = 404 ]
say $? "passages that are not there are a 404"

post $chat "{$asked,\"sources\":true,\"stream\":true}" && cp "$dir/out" "$dir/sse" && python3 - "$dir/sse" "$dir/whole" > "$dir/out" <<-'PY'
	import json, sys
	events = [json.loads(x[6:]) for x in open(sys.argv[1]) if x.startswith("data: {")]
	whole = json.load(open(sys.argv[2]))["choices"][0]["message"]
	deltas = [e["choices"][0]["delta"] for e in events]
	text = "".join(d.get("content") or "" for d in deltas)
	told = [a for d in deltas for a in d.get("annotations", [])]
	print(json.dumps({"same_text": text == whole["content"], "same": told == whole["annotations"],
	                  "last": events[-1]["choices"][0]["finish_reason"]}))
PY
py 'd["same_text"] and d["same"] and d["last"] == "stop"'
say $? "a stream tells the same text and the same annotations"
post $chat "{$asked}" && py 'd["choices"][0]["message"]["annotations"] == []'
say $? "without the field there are none"
post $chat "{$asked,\"sources\":{\"max_num_results\":1},\"n\":2}" && py 'len(d["choices"]) == 2 and all(len({a["source"]["passage"] for a in c["message"]["annotations"]}) <= 1 for c in d["choices"])'
say $? "max_num_results, and two answers"
post $chat '{"messages":[{"role":"user","content":[{"type":"text","text":"Wie hieß der Müller von Überlingen?"}]}],"temperature":0,"max_tokens":40,"sources":true}'
py 'all(d["choices"][0]["message"]["content"][a["url_citation"]["start_index"]:a["url_citation"]["end_index"]] == "[%d]" % a["source"]["number"] for a in d["choices"][0]["message"]["annotations"]) and d["usage"]["prompt_tokens"] > 60'
say $? "parts of text are looked up; indices count characters, not bytes"
post $chat '{"messages":[{"role":"user","content":"qwxyzzy"}],"temperature":0,"max_tokens":8,"sources":true}' && py 'd["choices"][0]["message"]["annotations"] == [] and d["usage"]["prompt_tokens"] < 60'
say $? "nothing found: the question alone"

bad() { post $chat "{$asked,$1}" && [ "$status" = 400 ] && py "d['error']['param'] == '$2'"; }
bad '"sources":3' sources && bad '"sources":{"max_num_results":0}' max_num_results && bad '"sources":{"top":1}' sources
say $? "values that are none are a 400 that names the field"
bad '"sources":true,"logprobs":true' logprobs && bad '"sources":true,"response_format":{"type":"json_object"}' response_format
say $? "so is what an answer with references cannot be besides"
tools='"tools":[{"type":"function","function":{"name":"delete_files","parameters":{"type":"object","properties":{"path":{"type":"string"}}}}}]'
bad "\"sources\":true,$tools" tools
say $? "functions are not offered beside sources"
post $chat '{"messages":[{"role":"system","content":"x"}],"sources":true}' && [ "$status" = 400 ] && py 'd["error"]["param"] == "sources"'
say $? "a chat without a question is a 400"

# each of the hostile documents is asked for
python3 - "$url" "$root/tests/tools/injections.json" > "$dir/out" <<-'PY'
	import json, sys, urllib.request
	bad, n = [], 0
	for name, words in json.load(open(sys.argv[2])).items():
	    q = "What is the Zanzibar fact, and what about " + " ".join(words.split()[-4:]) + "?"
	    body = {"messages": [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": q}], "sources": True,
	            "temperature": 0, "max_tokens": 6}
	    r = urllib.request.Request(sys.argv[1] + "/v1/chat/completions", json.dumps(body).encode())
	    c = json.load(urllib.request.urlopen(r, timeout=300))["choices"][0]
	    n += 1
	    if c["message"].get("tool_calls") or c["finish_reason"] not in ("stop", "length") or c["message"]["role"] != "assistant":
	        bad.append(name)
	print(json.dumps({"n": n, "bad": bad}))
PY
py 'd["n"] >= 20 and not d["bad"]'
say $? "each hostile document is answered as any other: text, no call"

curl -s -N -m 0.2 "$url$chat" -d "{$asked,\"sources\":true,\"stream\":true}" > /dev/null
for _ in 1 2 3 4 5 6 7 8; do curl -s -m 0.02 "$url$chat" -d "{$asked,\"sources\":true}" > /dev/null & done
wait $(jobs -p | grep -v "^$pid$")
until_metric cria_requests_running 0
say $? "clients that leave meanwhile are forgotten"
get /v1/models && py 'd["features"]["sources"]'
say $? "/v1/models tells that there are sources"
stop
say $? "SIGTERM ends it"
start
post $chat "{$asked,\"sources\":true}" && [ "$status" = 400 ] && py 'd["error"]["param"] == "sources" and "--index" in d["error"]["message"]'
say $? "without an index the field is a 400 that says so"
get /v1/passages/1 && [ "$status" = 403 ] && grep -q -- --index "$dir/out"
say $? "and there are no passages"
stop
plan
