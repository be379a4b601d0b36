#!/bin/bash
# serve.sh - cria serve as clients see it: every endpoint, every refusal, and broken HTTP. Needs the default
# model and curl.
. "$(dirname "$0")/tap.bash"

. "$(dirname "$0")/serve.bash"

start --parallel 4
say $? "listens"

# ---- what it answers ----
get /v1/models && [ "$status" = 200 ] && py 'd["object"] == "list" and d["data"][0]["object"] == "model" and d["data"][0]["meta"]["n_ctx"] == 2048'
say $? "models"
id=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["data"][0]["id"])' "$dir/out")
get "/v1/models/$id" && [ "$status" = 200 ] && py "d['id'] == '$id'" && get /models/nothing && [ "$status" = 404 ] &&
	py 'd["error"]["code"] == "model_not_found"'
say $? "one model, and one that is not"
get /health && [ "$status" = 200 ] && py 'd["status"] == "ok"' && header 'x-request-id: req-'
say $? "health"
get /health -H 'X-Request-Id: my-id.7' && header 'x-request-id: my-id.7'
say $? "a client's request id"
post /tokenize '{"content":"Hello, world!"}' && py 'd["count"] == 4 and len(d["tokens"]) == 4' &&
	post /detokenize "$(cat "$dir/out")" && py 'd["content"] == "Hello, world!"'
say $? "tokenize and back"

post /v1/chat/completions "{$question,\"max_tokens\":16}" && [ "$status" = 200 ] &&
	py '(c := d["choices"][0])["message"]["content"] == "The capital of France is Paris." and c["finish_reason"] == "stop" and d["object"] == "chat.completion" and d["usage"]["prompt_tokens"] == 26 and d["usage"]["completion_tokens"] == 7 and d["usage"]["total_tokens"] == 33'
say $? "a chat"
post /v1/chat/completions "{$question,\"max_tokens\":3}" && py 'd["usage"]["prompt_tokens_details"]["cached_tokens"] == 25 and d["choices"][0]["finish_reason"] == "length"'
say $? "its prompt is cached"
post /v1/chat/completions "{$question,\"max_tokens\":16,\"stream\":true,\"stream_options\":{\"include_usage\":true}}" &&
	header 'content-type: text/event-stream' && as_stream &&
	py 'd["done"] and d["text"] == "The capital of France is Paris." and d["first"]["delta"] == {"role":"assistant","content":""} and d["finish"] == ["stop"] and d["events"][-1]["choices"] == [] and d["events"][-1]["usage"]["completion_tokens"] == 7 and len({e["id"] for e in d["events"]}) == 1'
say $? "a chat as a stream"
# asked once before: a prompt that is cached is rounded another way than one that is read
three='{"messages":[{"role":"user","content":"Tell me a story."}],"temperature":1,"seed":7,"n":3,"max_tokens":12}'
post /v1/chat/completions "$three" && post /v1/chat/completions "$three" && py '[c["index"] for c in d["choices"]] == [0,1,2] and len({c["message"]["content"] for c in d["choices"]}) == 3 and d["usage"]["completion_tokens"] == 36' &&
	cp "$dir/out" "$dir/first" && post /v1/chat/completions "$three" && py 'd["choices"] == json.load(open("'"$dir"'/first"))["choices"]'
say $? "three answers, the same for a seed"
post /v1/chat/completions "{$question,\"stop\":[\"Paris\",\"x y z\"]}" && py '(c := d["choices"][0])["message"]["content"] == "The capital of France is " and c["finish_reason"] == "stop"'
say $? "stop strings"
post /v1/chat/completions "{$question,\"max_tokens\":2,\"logprobs\":true,\"top_logprobs\":3}" &&
	py '(l := d["choices"][0]["logprobs"]["content"]) and len(l) == 2 and l[0]["token"] == "The" and l[0]["bytes"] == [84,104,101] and len(l[0]["top_logprobs"]) == 3 and l[0]["logprob"] <= 0'
say $? "log-probabilities"
post /v1/chat/completions "{\"messages\":[{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":\"Answer the question\"},{\"type\":\"text\",\"text\":\" correctly.\"}]},{\"role\":\"user\",\"content\":\"What is the capital of France?\"}],\"temperature\":0,\"max_completion_tokens\":16,\"no_such_field\":1,\"user\":\"u\"}" &&
	py 'd["choices"][0]["message"]["content"] == "The capital of France is Paris." and d["usage"]["prompt_tokens"] == 26' && grep -q 'ignored=no_such_field' "$dir/server.err"
say $? "contents in parts, and an unknown field that the log names"
post /v1/completions '{"prompt":["Once upon a","The capital of France is"],"max_tokens":3,"temperature":0}' && py '[c["text"] for c in d["choices"]][1] == " Paris.\n" and d["object"] == "text_completion" and len(d["choices"]) == 2'
say $? "completions of two texts"
post /v1/completions '{"prompt":[504,3575,282,4649,314],"max_tokens":2,"temperature":0,"echo":true,"stream":true}' && as_stream && py 'd["done"] and d["text"] == "The capital of France is Paris." and d["finish"] == ["length"]'
say $? "of ids, with echo, as a stream"
post /v1/completions '{"prompt":"The capital of France is","max_tokens":2,"temperature":0,"logprobs":2}' && py '(l := d["choices"][0]["logprobs"]) and l["tokens"] == [" Paris", "."] and len(l["top_logprobs"][1]) == 2 and l["text_offset"] == [0, 6]'
say $? "with log-probabilities"
post /v1/completions '{"prompt":"The capital of France is","max_tokens":2,"temperature":0,"logit_bias":{"7042":-100}}' && py '"Paris" not in d["choices"][0]["text"]'
say $? "with a bias"
get /metrics && python3 - "$dir/out" <<-'PY'
	import re, sys
	text = open(sys.argv[1]).read()
	for line in text.splitlines():
	    assert re.fullmatch(r"# (HELP|TYPE) \w+ .+|\w+(\{\w+=\"[^\"]*\"\})? [-+0-9.e]+(Inf)?", line), line
	assert float(re.search(r"^cria_generation_tokens_total (\d+)", text, re.M)[1]) > 100
	assert re.search(r'^cria_requests_total\{status="200"\} \d+', text, re.M)
PY
say $? "metrics"

# The same seed makes the same four answers; two prompts, so that the second's are moved up.
four='"prompt":["Once upon a time","The best"],"temperature":1,"seed":5,"max_tokens":9'
all="{$four,\"n\":4,\"logprobs\":1}"
post /v1/completions "$all" && post /v1/completions "$all" && cp "$dir/out" "$dir/all" &&
	post /v1/completions "{$four,\"n\":2,\"best_of\":4}" && python3 - "$dir/all" "$dir/out" <<-'PY'
	import json, sys
	made, told = (json.load(open(p)) for p in sys.argv[1:])
	mean = lambda c: sum(c["logprobs"]["token_logprobs"]) / len(c["logprobs"]["token_logprobs"])
	best = [c for i in (0, 4) for c in sorted(made["choices"][i:i + 4], key=mean, reverse=True)[:2]]
	assert [c["text"] for c in told["choices"]] == [c["text"] for c in best]
	assert [c["index"] for c in told["choices"]] == [0, 1, 2, 3] and told["choices"][0]["logprobs"] is None
	assert told["usage"]["completion_tokens"] == made["usage"]["completion_tokens"]
PY
say $? "best_of tells the likeliest"

# ---- what it refuses ----
# body | status | code | param
while IFS='|' read -r path body want code param; do
	[ -n "$path" ] || continue
	post "$path" "$body"
	[ "$status" = "$want" ] && py "(e := d['error'])['code'] == '$code' and e['param'] == ${param:-None} and len(e['message']) > 10"
	say $? "refuses $body"
done <<'ROWS'
/v1/chat/completions|{"messages":[|400|invalid_json|
/v1/chat/completions|[]|400|invalid_json|
/v1/chat/completions||400|invalid_json|
/v1/chat/completions|{"a":1,"a":2}|400|invalid_json|
/v1/chat/completions|{}|400|missing_required_parameter|'messages'
/v1/chat/completions|{"messages":[]}|400|invalid_value|'messages'
/v1/chat/completions|{"messages":"hello"}|400|invalid_value|'messages'
/v1/chat/completions|{"messages":[7]}|400|invalid_value|'messages[0].role'
/v1/chat/completions|{"messages":[{"role":"king","content":"x"}]}|400|invalid_value|'messages[0].role'
/v1/chat/completions|{"messages":[{"role":"user"}]}|400|missing_required_parameter|'messages[0].content'
/v1/chat/completions|{"messages":[{"role":"user","content":7}]}|400|invalid_value|'messages[0].content'
/v1/chat/completions|{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}|400|unsupported_parameter|'messages[0].content'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"temperature":3}|400|invalid_value|'temperature'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"temperature":"hot"}|400|invalid_value|'temperature'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"top_p":-0.1}|400|invalid_value|'top_p'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"n":0}|400|invalid_value|'n'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"n":100}|400|invalid_value|'n'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"n":1.5}|400|invalid_value|'n'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"max_tokens":1e300}|400|invalid_value|'max_tokens'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"max_tokens":-1}|400|invalid_value|'max_tokens'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"seed":1.5}|400|invalid_value|'seed'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"stream":"yes"}|400|invalid_value|'stream'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"stop":""}|400|invalid_value|'stop'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"stop":[1]}|400|invalid_value|'stop'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"logit_bias":{"x":1}}|400|invalid_value|'logit_bias'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"logit_bias":{"99999999":1}}|400|invalid_value|'logit_bias'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"top_logprobs":2}|400|invalid_value|'top_logprobs'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"logprobs":true,"top_logprobs":21}|400|invalid_value|'top_logprobs'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"xml"}}|400|invalid_value|'response_format.type'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"functions":[{"name":"f"}]}|400|unsupported_parameter|'functions'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"model":"gpt-4o"}|404|model_not_found|'model'
/v1/completions|{"prompt":{}}|400|invalid_value|'prompt'
/v1/completions|{"prompt":[1,-1]}|400|invalid_value|'prompt'
/v1/completions|{"prompt":[]}|400|invalid_value|'prompt'
/v1/completions|{"prompt":"x","echo":true,"logprobs":1,"stream":true}|400|unsupported_parameter|'echo'
/v1/completions|{"prompt":"x","best_of":2,"stream":true}|400|unsupported_parameter|'best_of'
/v1/completions|{"prompt":"x","best_of":2,"n":3}|400|invalid_value|'best_of'
/v1/completions|{"prompt":"x","best_of":200}|400|invalid_value|'best_of'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"seed":1e999}|400|invalid_value|'seed'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"n":99999999999999999999}|400|invalid_value|'n'
/v1/chat/completions|{"messages":[{"role":"user","content":"x"}],"temperature":1e999}|400|invalid_value|'temperature'
/tokenize|{"content":7}|400|invalid_value|'content'
/tokenize|{"content":"x","model":"gpt-4o"}|404|model_not_found|'model'
/detokenize|{"tokens":[1],"model":"gpt-4o"}|404|model_not_found|'model'
/detokenize|{"tokens":[1,99999999]}|400|invalid_value|'tokens'
ROWS
post /tokenize '{"content":"Hello, world!","some_id":123456789012345678901234567890,"other":[-1e999]}' && [ "$status" = 200 ] && py 'd["count"] == 4'
say $? "a number of any size in an unknown field is no matter"
python3 -c 'print("{\"messages\":" + "[" * 200 + "]" * 200 + "}")' > "$dir/deep"
post /v1/chat/completions "@$dir/deep" && [ "$status" = 400 ] && py 'd["error"]["code"] == "invalid_json"'
say $? "refuses deep nesting"
printf '{"messages":[{"role":"user","content":"\xff"}]}' > "$dir/bytes"
get /v1/chat/completions --data-binary "@$dir/bytes" && [ "$status" = 400 ] && py 'd["error"]["code"] == "invalid_json"'
say $? "refuses what is not UTF-8"
python3 -c 'import json; print(json.dumps({"messages":[{"role":"user","content":"word " * 3000}]}))' > "$dir/long"
post /v1/chat/completions "@$dir/long" && [ "$status" = 400 ] && py 'd["error"]["code"] == "context_length_exceeded" and "2048" in d["error"]["message"]'
say $? "refuses a prompt over the context"
python3 -c 'import json; print(json.dumps({"messages":[{"role":"user","content":"x" * 6000000}]}))' > "$dir/long"
post /v1/chat/completions "@$dir/long" && [ "$status" = 400 ] && py 'd["error"]["code"] == "context_length_exceeded"'
say $? "refuses one far over it, unread"
head -c 8500000 /dev/zero | tr '\0' ' ' > "$dir/big"
get /v1/chat/completions --data-binary "@$dir/big"
[ "$status" = 413 ]
say $? "refuses a large body"
get /nowhere && [ "$status" = 404 ] && py 'd["error"]["code"] == "not_found"'
say $? "no such path"
get /v1/chat/completions && [ "$status" = 405 ] && header 'allow: POST' && post /health '{}' && [ "$status" = 405 ] && get /health -X DELETE && [ "$status" = 405 ]
say $? "another method"
post /v1/chat/completions "{$question,\"max_tokens\":2}" && [ "$status" = 200 ]
say $? "and answers after all that"

# ---- who may ask ----
get /health -H 'Host: evil.example' && [ "$status" = 403 ] && get /health -H 'Host: localhost:1' && [ "$status" = 200 ]
say $? "another Host"
get /health -H 'Origin: https://evil.example' && [ "$status" = 403 ] && ! header access-control && get /health -H "Origin: $url" && [ "$status" = 200 ]
say $? "another Origin"
run "$CRIA" serve -m "$model" --host 0.0.0.0 --port 0
[ $? = 2 ] && grep -q -- '--keys.*--insecure' "$dir/err"
say $? "a public address without keys"
port=${url##*:}
run timeout 20 "$CRIA" serve -m "$model" -c 256 --port "$port"
[ $? = 1 ] && grep -q "port $port.*another --port" "$dir/err"
say $? "two servers on one port"

# ---- broken and hostile HTTP ----
while IFS='|' read -r want bytes; do
	got=$(printf '%s' "$bytes" | probe raw)
	[ "$got" = "$want" ] || echo "# got: $got"
	[ "$got" = "$want" ]
	say $? "HTTP: $bytes"
done <<'ROWS'
200|GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n
200 closed|GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n
200 closed|GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n
400 closed|GET /health HTTP/1.1\r\n\r\n
400 closed|GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n
400 closed|nonsense\r\n\r\n
400 closed|GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n
400 closed|GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n
400 closed|GET /health HTTP/1.1\r\nHost: localhost\r\nX Y: a\r\n\r\n
400 closed|GET /health HTTP/1.1\r\nHost : localhost\r\nHost: localhost\r\n\r\n
400 closed|POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}
400 closed|POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: +2\r\n\r\n{}
400 closed|POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: -2\r\n\r\n{}
400 closed|POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n
400 closed|POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\nContent-Length: 2\r\n\r\n{}
400|POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n
405|PATCH /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}
405 closed|HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n
405 closed|TRACE /health HTTP/1.1\r\nHost: localhost\r\n\r\n
405 closed|QUERY /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}
ROWS
{ printf 'GET /health HTTP/1.1\\r\\nHost: localhost\\r\\nX: '; head -c 40000 /dev/zero | tr '\0' x; } > "$dir/bytes"
[ "$(probe raw < "$dir/bytes")" = "400 closed" ]
say $? "HTTP: a header of 40,000 bytes"
{ printf 'GET /health HTTP/1.1\\r\\nHost: localhost\\r\\n'; for i in $(seq 120); do printf 'X%s: 1\\r\\n' $i; done; printf '\\r\\n'; } > "$dir/bytes"
[ "$(probe raw < "$dir/bytes")" = "400 closed" ]
say $? "HTTP: 120 headers"
stop
say $? "ends well"
plan
