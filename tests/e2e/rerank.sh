#!/bin/bash
# rerank.sh - documents ordered for a query over HTTP: the order, the forms of documents, that a chat does not wait,
# and what is refused. Needs the default model and curl.
. "$(dirname "$0")/tap.bash"
. "$(dirname "$0")/serve.bash"

start --parallel 2
say $? "listens"
docs='["Bread is baked from flour, water and yeast.",{"text":"Paris is the capital and largest city of France."},"The heart pumps blood through the body."]'
post /v1/rerank "{\"query\":\"What is the capital of France?\",\"documents\":$docs}" && [ "$status" = 200 ] && cp "$dir/out" "$dir/first" &&
	py '[r["index"] for r in d["results"]][0] == 1 and sorted(r["index"] for r in d["results"]) == [0,1,2] and all("document" not in r for r in d["results"])' &&
	py '(s := [r["relevance_score"] for r in d["results"]]) == sorted(s, reverse=True) and 0 < s[2] < s[0] < 1 and "SmolLM2" in d["model"] and d["usage"]["total_tokens"] > 40'
say $? "the one that answers comes first"
post /rerank "{\"query\":\"How is blood moved?\",\"documents\":$docs,\"top_n\":1,\"return_documents\":true}" &&
	py 'd["results"][0]["index"] == 2 and len(d["results"]) == 1 and d["results"][0]["document"] == {"text": "The heart pumps blood through the body."}'
say $? "top_n, with its text"
post /v1/rerank "{\"query\":\"What is the capital of France?\",\"documents\":$docs,\"top_n\":9}" && python3 - "$dir/out" "$dir/first" <<-'PY'
	import json, sys
	a, b = [json.load(open(f))["results"] for f in sys.argv[1:]]
	assert [x["index"] for x in a] == [x["index"] for x in b]
	assert all(abs(x["relevance_score"] / y["relevance_score"] - 1) < 0.05 for x, y in zip(a, b)), (a, b)
PY
say $? "the same again, from the cache"
post /v1/completions '{"prompt":"Bread is baked from flour, water and yeast.\n\nQuestion: What is the capital of France?","max_tokens":0,"echo":true,"logprobs":1}' && cp "$dir/out" "$dir/echo" && python3 - "$dir/first" "$dir/echo" <<-'PY'
	import json, math, sys
	score = {r["index"]: r["relevance_score"] for r in json.load(open(sys.argv[1]))["results"]}[0]
	l = json.load(open(sys.argv[2]))["choices"][0]["logprobs"]
	p = l["token_logprobs"][l["tokens"].index(" What"):]
	assert len(p) == 7 and abs(math.log(score) - sum(p) / len(p)) < 0.05, (score, p)
PY
say $? "the score is the likelihood that echo tells"
post /v1/rerank '{"query":"x","documents":[""," "]}' && [ "$status" = 200 ] && py 'len(d["results"]) == 2'
say $? "an empty document is one"
python3 -c 'import json; print(json.dumps({"query": "Which number?", "documents": ["Text number %d." % i for i in range(100)]}))' > "$dir/body"
curl -s -m 600 -o "$dir/many_out" "$url/v1/rerank" -d @"$dir/body" & many=$!
post /v1/chat/completions "{$question,\"max_tokens\":16}" && py 'd["choices"][0]["message"]["content"] == "The capital of France is Paris."'
ok=$?
kill -0 $many 2> /dev/null || ok=1 # the chat was not after all 100
wait $many && [ $ok = 0 ] && cp "$dir/many_out" "$dir/out" && py 'sorted(r["index"] for r in d["results"]) == list(range(100))'
say $? "100 documents do not stand in a chat's way"
curl -s -m 0.3 -o /dev/null "$url/v1/rerank" -d @"$dir/body"; until_metric cria_requests_running 0
say $? "a client that leaves ends its documents"

while IFS='|' read -r body want code param; do
	[ -n "$body" ] || continue
	post /v1/rerank "$body"
	[ "$status" = "$want" ] && py "(e := d['error'])['code'] == '$code' and e['param'] == ${param:-None} and len(e['message']) > 10"
	say $? "refuses $body"
done <<'ROWS'
{"query":|400|invalid_json|
{"documents":["a"]}|400|missing_required_parameter|'query'
{"query":"","documents":["a"]}|400|invalid_value|'query'
{"query":["q"],"documents":["a"]}|400|invalid_value|'query'
{"query":"q"}|400|missing_required_parameter|'documents'
{"query":"q","documents":"a"}|400|invalid_value|'documents'
{"query":"q","documents":[]}|400|invalid_value|'documents'
{"query":"q","documents":["a",5]}|400|invalid_value|'documents'
{"query":"q","documents":[{"title":"a"}]}|400|invalid_value|'documents'
{"query":"q","documents":["a"],"top_n":0}|400|invalid_value|'top_n'
{"query":"q","documents":["a"],"max_tokens_per_doc":7}|400|unsupported_parameter|'max_tokens_per_doc'
{"query":"q","documents":["a"],"model":"gpt-4o"}|404|model_not_found|'model'
ROWS
python3 -c 'import json; print(json.dumps({"query": "q", "documents": ["a"] * 2049}))' > "$dir/body"
get /v1/rerank -d @"$dir/body" && [ "$status" = 400 ] && py '"2049" in d["error"]["message"] and "2048" in d["error"]["message"]'
say $? "refuses 2,049 documents"
python3 -c 'import json; print(json.dumps({"query": "word " * 1100, "documents": ["a"]}))' > "$dir/body"
get /v1/rerank -d @"$dir/body" && [ "$status" = 400 ] && py 'd["error"]["param"] == "query" and "1024" in d["error"]["message"]'
say $? "refuses a query of too many tokens"
python3 -c 'import json; print(json.dumps({"query": "q", "documents": ["ok", "word " * 9000]}))' > "$dir/body"
get /v1/rerank -d @"$dir/body" && [ "$status" = 400 ] && py '(e := d["error"])["code"] == "context_length_exceeded" and "documents[1]" in e["message"]'
say $? "refuses a document longer than the context"
stop
say $? "ends"
plan
