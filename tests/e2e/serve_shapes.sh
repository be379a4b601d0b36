#!/bin/bash
# serve_shapes.sh - cria serve as clients of /v1/responses and of Anthropic's /v1/messages see it: answers,
# streams, refusals, and what is stored. Needs the default model and curl.
. "$(dirname "$0")/tap.bash"

. "$(dirname "$0")/serve.bash"

# as_events: turns the named events in $dir/out into an object of them all.
cat > "$dir/events.py" <<-'PY'
	import json, sys
	events = []
	for block in open(sys.argv[1]).read().split("\n\n"):
	    lines = [line for line in block.split("\n") if line and not line.startswith(":")]
	    if not lines: continue
	    name, data = lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))
	    assert name == data["type"], lines
	    events.append(data)
	text = "".join(e["delta"] if isinstance(e["delta"], str) else e["delta"].get("text", "") for e in events if "delta" in e)
	json.dump({"events": events, "names": [e["type"] for e in events], "text": text, "last": events[-1]}, open(sys.argv[2], "w"))
PY
as_events() { cp "$dir/out" "$dir/sse" && python3 "$dir/events.py" "$dir/sse" "$dir/out"; }
field() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$dir/out" "$1"; }
paris="The capital of France is Paris."
rest='"temperature":0,"max_output_tokens":16'
ask="\"instructions\":\"Answer the question correctly.\",\"input\":\"What is the capital of France?\",$rest"
asked='"system":"Answer the question correctly.","messages":[{"role":"user","content":"What is the capital of France?"}],"temperature":0'

hash() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
printf 'alice %s\nbob %s\n' "$(hash sk-alice)" "$(hash sk-bob)" > "$dir/keys"
alice='Authorization: Bearer sk-alice'
bob='Authorization: Bearer sk-bob'
start --parallel 4 --keys "$dir/keys" --store "$dir/store.db"
say $? "listens with a store"

# ---- responses ----
post /v1/responses "{$ask,\"metadata\":{\"a\":\"b\"}}" -H "$alice" && [ "$status" = 200 ] && py "d['object'] == 'response' and d['status'] == 'completed' and (m := d['output'][0])['role'] == 'assistant' and m['content'] == [{'type':'output_text','text':'$paris','annotations':[],'logprobs':[]}] and d['usage']['input_tokens'] == 26 and d['usage']['output_tokens'] == 7 and d['metadata'] == {'a':'b'} and d['instructions'] == 'Answer the question correctly.' and d['error'] is None"
say $? "a response"
id=$(field id)
cp "$dir/out" "$dir/first"
get "/v1/responses/$id" -H "$alice" && [ "$status" = 200 ] && cmp -s "$dir/out" "$dir/first"
say $? "it is stored as it was sent"
get "/v1/responses/$id" -H "$bob" && [ "$status" = 404 ] && post /v1/responses "{\"previous_response_id\":\"$id\",\"input\":\"x\"}" -H "$bob" && [ "$status" = 400 ] &&
	py 'd["error"]["code"] == "previous_response_not_found" and d["error"]["param"] == "previous_response_id"' && get "/v1/responses/$id" -H "$bob" -X DELETE && [ "$status" = 404 ]
say $? "not for another key"
post /v1/responses "{\"previous_response_id\":\"$id\",\"input\":\"And of Germany?\",$rest}" -H "$alice" && py 'd["output"][0]["content"][0]["text"] == "The capital of Germany is Berlin." and d["usage"]["input_tokens"] == 59'
say $? "one that goes on from it"
second=$(field id)
post /v1/responses "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"What is the capital of\"},{\"type\":\"input_text\",\"text\":\" France?\"}]},{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"$paris\",\"annotations\":[]}]},{\"type\":\"reasoning\",\"summary\":[]},{\"role\":\"user\",\"content\":\"And of Germany?\"}],$rest}" -H "$alice" && py 'd["usage"]["input_tokens"] == 59 and "Berlin" in d["output"][0]["content"][0]["text"]'
say $? "the same as items"
post /v1/responses "{$ask,\"stream\":true}" -H "$alice" && header 'content-type: text/event-stream' && as_events && py "d['text'] == '$paris' and d['names'][:4] == ['response.created','response.in_progress','response.output_item.added','response.content_part.added'] and d['names'][-4:] == ['response.output_text.done','response.content_part.done','response.output_item.done','response.completed'] and [e['sequence_number'] for e in d['events']] == list(range(len(d['events']))) and d['last']['response']['usage']['output_tokens'] == 7"
say $? "a response as a stream"
python3 -c 'import json,sys; json.dump(json.load(open(sys.argv[1]))["last"]["response"], open(sys.argv[2], "w"))' "$dir/out" "$dir/want"
streamed=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["id"])' "$dir/want")
get "/v1/responses/$streamed" -H "$alice" && py 'd == json.load(open("'"$dir"'/want"))'
say $? "is stored too"
post /v1/responses "{$ask,\"store\":false}" -H "$alice" && py 'd["store"] == False' && get "/v1/responses/$(field id)" -H "$alice" && [ "$status" = 404 ]
say $? "but not if it is not to be"
post /v1/responses "{\"input\":\"Tell me a story.\",\"max_output_tokens\":4}" -H "$alice" && py 'd["status"] == "incomplete" and d["incomplete_details"] == {"reason":"max_output_tokens"} and d["output"][0]["status"] == "incomplete"'
say $? "one that is cut"
post /v1/responses "{$ask,\"include\":[\"message.output_text.logprobs\"],\"top_logprobs\":2}" -H "$alice" && py '(l := d["output"][0]["content"][0]["logprobs"]) and l[0]["token"] == "The" and len(l[0]["top_logprobs"]) == 2'
say $? "with log-probabilities"
post /v1/responses "{\"input\":\"Tell me about Rome.\",$rest,\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"city\",\"strict\":true,\"schema\":{\"type\":\"object\",\"properties\":{\"big\":{\"type\":\"boolean\"}},\"required\":[\"big\"],\"additionalProperties\":false}}}}" -H "$alice" && py 'list(json.loads(d["output"][0]["content"][0]["text"])) == ["big"]'
say $? "of a given form"
post /v1/responses/input_tokens "{$ask}" -H "$alice" && py 'd == {"object":"response.input_tokens","input_tokens":26}' && post /v1/responses/input_tokens "{\"input\":\"And of Germany?\",\"previous_response_id\":\"$id\"}" -H "$alice" && py 'd["input_tokens"] == 59'
say $? "its tokens counted"
python3 -c 'import json; print(json.dumps({"input":[{"role":"system","content":"Answer the question correctly."}] + [{"role":"user","content":"word " * 300}] * 20 + [{"role":"user","content":"What is the capital of France?"}],"truncation":"auto","temperature":0,"max_output_tokens":16}))' > "$dir/long"
post /v1/responses "@$dir/long" -H "$alice" && [ "$status" = 200 ] && py '1500 < d["usage"]["input_tokens"] <= 2032 and d["truncation"] == "auto"'
say $? "a long one is truncated when it may be"
sed -i 's/"auto"/"disabled"/' "$dir/long"
post /v1/responses "@$dir/long" -H "$alice" && [ "$status" = 400 ] && py 'd["error"]["code"] == "context_length_exceeded" and d["error"]["param"] == "input"'
say $? "and refused when it may not"

get "/v1/responses/$second/input_items" -H "$alice" && py 'd["object"] == "list" and len(d["data"]) == 1 and d["data"][0]["content"] == [{"type":"input_text","text":"And of Germany?"}] and d["first_id"] == d["data"][0]["id"] and not d["has_more"]' &&
	post /v1/responses "{\"input\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"c\"}],\"max_output_tokens\":1}" -H "$alice" && items="/v1/responses/$(field id)/input_items" &&
	get "$items?limit=2" -H "$alice" && py '[i["content"] for i in d["data"]] == ["c","b"] and d["has_more"]' && last=$(field last_id) && get "$items?limit=2&after=$last" -H "$alice" && py '[i["content"] for i in d["data"]] == ["a"] and not d["has_more"]' &&
	get "$items?order=asc" -H "$alice" && py '[i["content"] for i in d["data"]] == ["a","b","c"]' && get "$items?limit=0" -H "$alice" && [ "$status" = 400 ] && get "$items?order=x" -H "$alice" && [ "$status" = 400 ] && get "$items" -H "$bob" && [ "$status" = 404 ]
say $? "the items that it was asked with"

# ---- messages ----
post /v1/messages "{$asked,\"max_tokens\":16}" -H 'X-Api-Key: sk-alice' -H 'anthropic-version: 2023-06-01' && [ "$status" = 200 ] && header 'request-id: req-' && py "d['type'] == 'message' and d['role'] == 'assistant' and d['content'] == [{'type':'text','text':'$paris'}] and d['stop_reason'] == 'end_turn' and (u := d['usage'])['input_tokens'] + u['cache_read_input_tokens'] == 26 and u['output_tokens'] == 7"
say $? "Anthropic's messages"
post /v1/messages "{$asked,\"max_tokens\":16,\"stream\":true,\"stop_sequences\":[\"France\",\"zzz\"]}" -H "$alice" && as_events && py "d['text'] == 'The capital of ' and [n for i, n in enumerate(d['names']) if i == 0 or n != d['names'][i-1]] == ['message_start','ping','content_block_start','content_block_delta','content_block_stop','message_delta','message_stop'] and (m := d['events'][-2])['delta'] == {'stop_reason':'stop_sequence','stop_sequence':'France'} and m['usage']['output_tokens'] == 4"
say $? "as a stream, with a stop sequence"
post /v1/messages '{"system":[{"type":"text","text":"Answer the question"},{"type":"text","text":" correctly.","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"text","text":"What is the capital of France?"}]}],"max_tokens":2,"temperature":0}' -H "$alice" && py 'd["stop_reason"] == "max_tokens" and d["content"][0]["text"] == "The capital" and d["usage"]["cache_read_input_tokens"] == 25'
say $? "in blocks, cut"
post /v1/messages/count_tokens "{$asked}" -H "$alice" && py 'd == {"input_tokens":26}'
say $? "its tokens counted"
get /v1/messages -H "$alice" && [ "$status" = 405 ] && py 'd["type"] == "error" and d["error"]["type"] == "invalid_request_error"' && post /v1/messages "{$asked}" && [ "$status" = 401 ] && py 'd["error"]["type"] == "authentication_error" and "code" not in d["error"]'
say $? "errors in Anthropic's shape"

# ---- what they refuse: path | body | status | code | param | words (Anthropic's: type and words) ----
while IFS='|' read -r path body want code param words; do
	[ -n "$path" ] || continue
	post "$path" "$body" -H "$alice"
	case $path in
	*messages*) [ "$status" = "$want" ] && py "(e := d['error'])['type'] == '$code' and '$words' in e['message']" ;;
	*) [ "$status" = "$want" ] && py "(e := d['error'])['code'] == '$code' and e['param'] == ${param:-None} and '$words' in e['message']" ;;
	esac
	say $? "$path refuses $body"
done <<'ROWS'
/v1/responses|{}|400|missing_required_parameter|'input'|input
/v1/responses|[]|400|invalid_json||array
/v1/responses|{"input":7}|400|invalid_value|'input'|a number
/v1/responses|{"input":[]}|400|invalid_value|'input'|empty
/v1/responses|{"input":[],"instructions":"s"}|400|invalid_value|'input'|empty
/v1/responses|{"input":[7]}|400|invalid_value|'input[0]'|object
/v1/responses|{"input":[{"role":"user","content":"x"},{"type":"item_reference","id":"i"}]}|400|unsupported_parameter|'input[1]'|item_reference
/v1/responses|{"input":[{"role":"king","content":"x"}],"instructions":"s"}|400|invalid_value|'input[0].role'|input[0].role: "king"
/v1/responses|{"input":[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}]}|400|unsupported_parameter|'input[0].content'|input_image
/v1/responses|{"input":[{"role":"user"}]}|400|missing_required_parameter|'input[0].content'|input[0].content
/v1/responses|{"input":"x","instructions":7}|400|invalid_value|'instructions.content'|instructions
/v1/responses|{"input":"x","max_output_tokens":0}|400|invalid_value|'max_output_tokens'|max_output_tokens: 0
/v1/responses|{"input":"x","temperature":3}|400|invalid_value|'temperature'|3
/v1/responses|{"input":"x","stream":"yes"}|400|invalid_value|'stream'|stream
/v1/responses|{"input":"x","store":"yes"}|400|invalid_value|'store'|store
/v1/responses|{"input":"x","truncation":"some"}|400|invalid_value|'truncation'|auto
/v1/responses|{"input":"x","metadata":{"a":7}}|400|invalid_value|'metadata'|strings
/v1/responses|{"input":"x","background":true}|400|unsupported_parameter|'background'|background
/v1/responses|{"input":"x","conversation":"c"}|400|unsupported_parameter|'conversation'|conversation
/v1/responses|{"input":"x","text":"json"}|400|invalid_value|'text'|object
/v1/responses|{"input":"x","text":{"format":{"type":"poem"}}}|400|invalid_value|'text.format.type'|poem
/v1/responses|{"input":"x","text":{"format":{"type":"json_schema","schema":{"type":"object"}}}}|400|missing_required_parameter|'text.format.name'|text.format.name
/v1/responses|{"input":"x","text":{"format":{"type":"json_schema","name":"n","schema":{"type":"no"}}}}|400|invalid_value|'text.format.schema'|no
/v1/responses|{"input":"x","tools":7}|400|invalid_value|'tools'|array
/v1/responses|{"input":"x","tools":[{"type":"web_search"}]}|400|unsupported_parameter|'tools'|web_search
/v1/responses|{"input":"x","previous_response_id":"resp_none"}|400|previous_response_not_found|'previous_response_id'|resp_none
/v1/responses|{"input":"x","previous_response_id":7}|400|invalid_value|'previous_response_id'|string
/v1/responses|{"input":"x","include":"all"}|400|invalid_value|'include'|array
/v1/responses|{"input":"x","include":[7]}|400|invalid_value|'include'|array
/v1/responses|{"input":"x","model":"gpt-4o"}|404|model_not_found|'model'|gpt-4o
/v1/messages|{}|400|invalid_request_error||messages
/v1/messages|{"messages":[]}|400|invalid_request_error||messages
/v1/messages|{"messages":[],"system":"s"}|400|invalid_request_error||messages: it is empty
/v1/messages|{"messages":[{"role":"system","content":"x"}]}|400|invalid_request_error||messages[0].role
/v1/messages|{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"text","text":7}]}],"system":"s"}|400|invalid_request_error||messages[1].content
/v1/messages|{"messages":[{"role":"user","content":[{"type":"image","source":{}}]}]}|400|invalid_request_error||image
/v1/messages|{"messages":[{"role":"user","content":[7]}]}|400|invalid_request_error||messages[0]
/v1/messages|{"messages":[{"role":"user","content":"x"}],"system":7}|400|invalid_request_error||system
/v1/messages|{"messages":[{"role":"user","content":"x"}],"system":[{"type":"image"}]}|400|invalid_request_error||system: a block of type "image"
/v1/messages|{"messages":[{"role":"user","content":"x"}],"system":[7]}|400|invalid_request_error||system: a block is a number
/v1/messages|{"messages":[{"role":"user"}]}|400|invalid_request_error||messages[0]: content: it is nothing
/v1/messages|{"messages":[{"role":"user","content":{"a":{"type":"text","text":"x"}}}]}|400|invalid_request_error||messages[0]: content: it is an object
/v1/messages|{"messages":[{"role":"user","content":[{"type":"tool_use","id":"t","name":"n","input":{}}]}]}|400|invalid_request_error||messages[0]: a block of type "tool_use" does not stand here
/v1/messages|{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"n","input":7}]}]}|400|invalid_request_error||messages[1]: tool_use.input: it is a number
/v1/messages|{"messages":[{"role":"user","content":"x"}],"tools":[{"name":"n"}],"tool_choice":{"type":"auto","disable_parallel_tool_use":7}}|400|invalid_request_error||disable_parallel_tool_use
/v1/messages|{"messages":[{"role":"user","content":"x"}],"max_tokens":0}|400|invalid_request_error||max_tokens: 0
/v1/messages|{"messages":[{"role":"user","content":"x"}],"stop_sequences":[7]}|400|invalid_request_error||stop_sequences
/v1/messages|{"messages":[{"role":"user","content":"x"}],"thinking":{"type":"enabled","budget_tokens":2000}}|400|invalid_request_error||thinking
/v1/messages|{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"web_search_20250305","name":"web_search"}]}|400|invalid_request_error||web_search
/v1/messages|{"messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"some"}}|400|invalid_request_error||tool_choice
/v1/messages|{"messages":[{"role":"user","content":"x"}],"model":"claude"}|404|not_found_error||claude
ROWS
python3 -c 'print("{\"input\":" + "[" * 60 + "]" * 60 + "}")' > "$dir/deep"
post /v1/responses "@$dir/deep" -H "$alice" && [ "$status" = 400 ]
say $? "refuses deep nesting"
get "/v1/responses/no%2Fsuch" -H "$alice" && [ "$status" = 404 ] && get /v1/responses/ -H "$alice" && [ "$status" = 404 ] && post "/v1/responses/$id" '{}' -H "$alice" && [ "$status" = 405 ] && header 'allow: GET, DELETE'
say $? "ids and methods that are not"

# ---- the store ----
post /v1/responses "{$ask,\"stream\":true}" -H "$alice"
kill -9 $pid
wait $pid 2> /dev/null
start --parallel 4 --keys "$dir/keys" --store "$dir/store.db"
get "/v1/responses/$id" -H "$alice" && cmp -s "$dir/out" "$dir/first" && post /v1/responses "{\"previous_response_id\":\"$second\",\"input\":\"Thanks!\",$rest}" -H "$alice" && [ "$status" = 200 ] && py 'd["usage"]["input_tokens"] > 70'
say $? "kill -9 loses nothing"
get "/v1/responses/$id" -H "$alice" -X DELETE && py "d == {'id':'$id','object':'response','deleted':True}" && get "/v1/responses/$id" -H "$alice" && [ "$status" = 404 ] && post /v1/responses "{\"previous_response_id\":\"$second\",\"input\":\"x\"}" -H "$alice" && [ "$status" = 400 ]
say $? "what is deleted is gone, and with it what went on from it"
[ "$(stat -c %a "$dir/store.db")" = 600 ] && stop
say $? "ends well"
start --store "$dir/small.db" --store-mb 1
python3 -c 'import json,sys; print(json.dumps({"input":"x","max_output_tokens":1,"user":"u" * 2000000}))' > "$dir/long"
post /v1/responses "@$dir/long" && [ "$status" = 507 ] && header 'x-should-retry: false' && py 'd["error"]["code"] == "store_full"' &&
	sed 's/"input"/"stream":true,"input"/' "$dir/long" > "$dir/long2" && post /v1/responses "@$dir/long2" && as_events && py 'd["last"]["type"] == "response.failed" and "full" in d["last"]["response"]["error"]["message"]' &&
	post /v1/responses "{$ask}" && [ "$status" = 200 ] && get "/v1/responses/$(field id)" && [ "$status" = 200 ]
say $? "what does not fit is refused, and nothing else is"
stop
start
post /v1/responses "{$ask}" && get "/v1/responses/$(field id)" && [ "$status" = 200 ] && stop
say $? "without --store responses are kept in memory"
printf 'no database, but some text that is long enough to be looked at as if it were one: %0100d' 0 > "$dir/text"
refuses 1 "text: file is not a database" "$CRIA" serve -q -m "$model" -c 256 --port 0 --store "$dir/text" && refuses 1 "unable to open" "$CRIA" serve -q -m "$model" -c 256 --port 0 --store /nonexistent/s.db
say $? "a store that is none"
if [ "$(id -u)" = 0 ] && unshare -m sh -c 'mount -t tmpfs -o size=64k none /mnt' 2> /dev/null; then
	mkdir "$dir/disk"
	full='mount -t tmpfs -o size=300k none "$0" && exec "$@"'
	"unshare" -m sh -c "$full" "$dir/disk" "$CRIA" serve -m "$model" -c 2048 --port 0 --store "$dir/disk/s.db" 2> "$dir/server.err" &
	pid=$!
	for _ in $(seq 300); do grep -qs '^listening on' "$dir/server.err" && break; sleep 0.1; done
	url=$(sed -n 's/^listening on //p' "$dir/server.err")
	python3 -c 'import json,sys; print(json.dumps({"input":"x","max_output_tokens":1,"user":"u" * 300000}))' > "$dir/long"
	post /v1/responses "@$dir/long" && [ "$status" = 507 ] && py 'd["error"]["code"] == "store_full"' && post /v1/responses "{$ask}" && [ "$status" = 200 ] && get /health && [ "$status" = 200 ] && stop
	say $? "a full disk is an error of that request alone"
else
	skip "a full disk" "no right to mount one"
fi
plan
