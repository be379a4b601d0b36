#!/bin/bash
# embed.sh - vectors on the command line and over HTTP: the same, of every form of input, and what is
# refused. Needs the default model and curl.
. "$(dirname "$0")/tap.bash"

. "$(dirname "$0")/serve.bash"

# ---- the command ----
printf 'The cat sat on the mat.\nA kitten rested on the rug.\nInterest rates rose again.\n' > "$dir/lines"
"$CRIA" embed -q "$dir/lines" > "$dir/vectors" && python3 - "$dir/vectors" <<-'PY'
	import sys
	v = [[float(x) for x in line.split()] for line in open(sys.argv[1])]
	dot = lambda a, b: sum(x * y for x, y in zip(a, b))
	assert [len(x) for x in v] == [576] * 3 and all(abs(dot(x, x) - 1) < 1e-5 for x in v)
	assert dot(v[0], v[1]) > dot(v[0], v[2]) + 0.02, (dot(v[0], v[1]), dot(v[0], v[2]))
PY
say $? "a line is a text; like texts have like vectors"
"$CRIA" embed -q --json < "$dir/lines" > "$dir/objects" && python3 - "$dir/objects" "$dir/vectors" <<-'PY'
	import json, sys
	rows = [json.loads(line) for line in open(sys.argv[1])]
	v = [[float(x) for x in line.split()] for line in open(sys.argv[2])]
	assert [r["index"] for r in rows] == [0, 1, 2] and [r["tokens"] for r in rows] == [7, 7, 5], rows
	assert all(max(abs(a - b) for a, b in zip(r["embedding"], x)) < 1e-6 for r, x in zip(rows, v))
PY
say $? "as JSON, from stdin"
"$CRIA" embed -q --whole --pooling last "$dir/lines" "$dir/lines" > "$dir/whole" && [ "$(wc -l < "$dir/whole")" = 2 ] &&
	[ "$(head -1 "$dir/whole")" = "$(tail -1 "$dir/whole")" ]
say $? "a file is a text"
for i in $(seq 600); do echo "Line number $i of many."; done > "$dir/many"
"$CRIA" embed -q "$dir/many" > "$dir/out" && [ "$(wc -l < "$dir/out")" = 600 ] && [ "$(sort -u "$dir/out" | wc -l)" = 600 ]
say $? "more lines than are read at once"
"$CRIA" embed -q --pooling best < "$dir/lines" 2> "$dir/err"; [ $? != 0 ] && grep -q -- '--pooling: .*mean, weighted, last' "$dir/err"
say $? "refuses a pooling that is none"
"$CRIA" embed -q "$dir/nothing" 2> "$dir/err"; [ $? != 0 ] && grep -q 'nothing: it cannot be opened' "$dir/err"
say $? "refuses a file that is not there"
printf 'one\n\nthree\n' > "$dir/gap"
"$CRIA" embed -q "$dir/gap" 2> "$dir/err"; [ $? != 0 ] && grep -q 'gap, line 2: 0 tokens; give 1 to' "$dir/err"
say $? "refuses an empty line, and names it"
"$CRIA" embed -q --whole -c 64 "$dir/many" 2> "$dir/err"; [ $? != 0 ] && grep -q 'many: [0-9]* tokens; give 1 to 64' "$dir/err"
say $? "refuses a text longer than the context"

# ---- the server ----
start --parallel 2
say $? "listens"
post /v1/embeddings '{"model":"default","input":"The cat sat on the mat."}' && [ "$status" = 200 ] && cp "$dir/out" "$dir/one" && python3 - "$dir/out" "$dir/vectors" <<-'PY'
	import json, sys
	d = json.load(open(sys.argv[1]))
	v = [float(x) for x in open(sys.argv[2]).readline().split()]
	e = d["data"][0]
	assert d["object"] == "list" and e["object"] == "embedding" and e["index"] == 0 and len(d["data"]) == 1
	assert d["usage"] == {"prompt_tokens": 7, "total_tokens": 7} and "SmolLM2" in d["model"]
	assert sum(a * b for a, b in zip(e["embedding"], v)) > 0.998 # few and many tokens round differently: with AMX 0.9986
PY
say $? "the same vector as the command's"
ids=$(printf 'The cat sat on the mat.' | "$CRIA" tokenize -q --json)
post /v1/embeddings "{\"input\":[\"A kitten.\",\"The cat sat on the mat.\",$ids],\"encoding_format\":\"float\"}" && [ "$status" = 200 ] && cp "$dir/out" "$dir/three" &&
	py 'len(d["data"]) == 3 and [e["index"] for e in d["data"]] == [0,1,2] and d["usage"]["prompt_tokens"] == 17' &&
	post /embeddings "{\"input\":$ids}" && py 'len(d["data"]) == 1' && python3 - "$dir/one" "$dir/three" "$dir/out" <<-'PY'
	import json, sys
	one, three, ids = [[e["embedding"] for e in json.load(open(f))["data"]] for f in sys.argv[1:]]
	near = lambda a, b: sum(x * y for x, y in zip(a, b)) > 0.998
	assert near(one[0], three[1]) and near(one[0], three[2]) and near(one[0], ids[0]) and not near(one[0], three[0])
PY
say $? "texts, ids, and both in an array"
post /v1/embeddings '{"input":"The cat sat on the mat.","encoding_format":"base64","dimensions":100}' && python3 - "$dir/out" "$dir/one" <<-'PY'
	import base64, json, math, struct, sys
	got = struct.unpack("<100f", base64.b64decode(json.load(open(sys.argv[1]))["data"][0]["embedding"]))
	v = json.load(open(sys.argv[2]))["data"][0]["embedding"][:100]
	n = math.sqrt(sum(x * x for x in v))
	assert all(abs(a - b / n) < 2e-3 for a, b in zip(got, v)), got[:5]
PY
say $? "base64 of the first dimensions, of length 1 again"
python3 -c 'import json; print(json.dumps({"input": ["Text number %d." % i for i in range(300)]}))' > "$dir/body"
curl -s -m 120 -o "$dir/many_out" "$url/v1/embeddings" -d @"$dir/body" & many=$!
post /v1/chat/completions "{$question,\"max_tokens\":16}" && py 'd["choices"][0]["message"]["content"] == "The capital of France is Paris."'
ok=$?
kill -0 $many 2> /dev/null || ok=1 # the chat was not after all 300
wait $many && [ $ok = 0 ] && cp "$dir/many_out" "$dir/out" && py 'len({str(e["embedding"][:9]) for e in d["data"]}) == 300 and d["data"][299]["index"] == 299'
say $? "300 texts do not stand in a chat's way"
curl -s -m 0.3 -o /dev/null "$url/v1/embeddings" -d @"$dir/body"; until_metric cria_requests_running 0
say $? "a client that leaves ends its texts"

while IFS='|' read -r body want code param; do
	[ -n "$body" ] || continue
	post /v1/embeddings "$body"
	[ "$status" = "$want" ] && py "(e := d['error'])['code'] == '$code' and e['param'] == ${param:-None} and len(e['message']) > 10"
	say $? "refuses $body"
done <<'ROWS'
{"input":|400|invalid_json|
{}|400|missing_required_parameter|'input'
{"input":5}|400|invalid_value|'input'
{"input":""}|400|invalid_value|'input'
{"input":[]}|400|invalid_value|'input'
{"input":["a",""]}|400|invalid_value|'input'
{"input":["a",null]}|400|invalid_value|'input'
{"input":[1,-2]}|400|invalid_value|'input'
{"input":[[1,49152]]}|400|invalid_value|'input'
{"input":[[]]}|400|invalid_value|'input'
{"input":"a","encoding_format":"hex"}|400|invalid_value|'encoding_format'
{"input":"a","dimensions":577}|400|invalid_value|'dimensions'
{"input":"a","dimensions":0}|400|invalid_value|'dimensions'
{"input":"a","dimensions":1.5}|400|invalid_value|'dimensions'
{"input":"a","model":"gpt-4o"}|404|model_not_found|'model'
ROWS
python3 -c 'import json; print(json.dumps({"input": ["a"] * 2049}))' > "$dir/body"
get /v1/embeddings -d @"$dir/body" && [ "$status" = 400 ] && py '"2049" in d["error"]["message"] and "2048" in d["error"]["message"]'
say $? "refuses 2,049 texts"
python3 -c 'import json; print(json.dumps({"input": ["ok", "word " * 9000]}))' > "$dir/body"
get /v1/embeddings -d @"$dir/body" && [ "$status" = 400 ] && py 'd["error"]["code"] == "context_length_exceeded" and d["error"]["param"] == "input"'
say $? "refuses a text longer than the context"
stop
say $? "ends"
plan
