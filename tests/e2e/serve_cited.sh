#!/bin/bash
# serve_cited.sh - sources in /v1/responses and /v1/messages, with the citations of those APIs, whole and
# streamed. With CRIA_ORACLE_PYTHON the official clients read them, too.
. "$(dirname "$0")/tap.bash"
. "$(dirname "$0")/serve.bash"

mkdir "$dir/town"
printf '# The old bridge\n\nThe old bridge over the Tamar was built in 1874 by the Northern Railway. It has five arches and is 120 metres long.\n' > "$dir/town/bridge.md"
printf '# The mill museum\n\nThe mill beside the bridge ground corn until 1911. It has been a museum since 1985, and is open from April to October.\n' > "$dir/town/mill.md"
"$CRIA" index -q "$dir/town.db" "$dir/town"
start --index "$dir/town.db"
say $? "a server with an index starts"
q='When was the old bridge over the Tamar built, and by whom?'
responses="\"input\":\"$q\",\"temperature\":0,\"max_output_tokens\":60,\"sources\":true"
messages="\"messages\":[{\"role\":\"user\",\"content\":\"$q\"}],\"temperature\":0,\"max_tokens\":60,\"sources\":{\"max_num_results\":2}"

# --- Responses ---
post /v1/responses "{$responses}"
py 'd["status"] == "completed" and len(d["output"]) == 1 and d["output"][0]["content"][0]["annotations"]'
say $? "a response has annotations"
cp "$dir/out" "$dir/whole"
py 'all(a["type"] == "file_citation" and a["filename"] == "bridge.md" and a["file_id"].startswith("file-") and t["text"][a["start_index"]:a["end_index"]] == "[%d]" % a["source"]["number"] and a["index"] == a["start_index"] for t in d["output"][0]["content"] for a in t["annotations"])'
say $? "files are cited as files, at the place of their mark"
py 'all(open(a["source"]["path"], "rb").read().find(a["source"]["quote"].encode()) >= 0 for a in d["output"][0]["content"][0]["annotations"])'
say $? "each quotes its document"
id=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["id"])' "$dir/whole")
get "/v1/responses/$id" && cmp -s "$dir/out" "$dir/whole"
say $? "they are kept with the response"
post /v1/responses "{\"previous_response_id\":\"$id\",\"input\":\"And how many arches has the old bridge, and how long is it?\",\"temperature\":0,\"max_output_tokens\":60,\"sources\":true}"
py 'any("five arches" in a["source"]["quote"] for a in d["output"][0]["content"][0]["annotations"]) and d["usage"]["input_tokens"] > 150'
say $? "a question that goes on from a stored response has sources of its own"
post /v1/responses "{\"input\":[{\"role\":\"user\",\"content\":\"Hello there, how are you this morning? $(printf 'word %.0s' $(seq 2600))\"},{\"role\":\"assistant\",\"content\":\"Fine.\"},{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"$q\"}]}],\"truncation\":\"auto\",\"temperature\":0,\"max_output_tokens\":60,\"sources\":true}"
py 'd["output"][0]["content"][0]["annotations"] and d["usage"]["input_tokens"] < 1200'
say $? "so has one whose older items are left out because they do not fit"
post /v1/responses/input_tokens "{$responses}" && py 'd["input_tokens"] > 80'
say $? "counting tokens counts the sources"

post /v1/responses "{$responses,\"stream\":true}" && cp "$dir/out" "$dir/sse" && python3 - "$dir/sse" "$dir/whole" > "$dir/out" <<-'PY'
	import json, sys
	events = [json.loads(x[6:]) for x in open(sys.argv[1]) if x.startswith("data: {")]
	whole = json.load(open(sys.argv[2]))["output"][0]["content"][0]
	added = [e for e in events if e["type"] == "response.output_text.annotation.added"]
	text = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
	last = events[-1]["response"]["output"][0]
	done = [e for e in events if e["type"] == "response.output_item.done"][0]["item"]
	begun = {e["annotation_index"]: sum(len(x["delta"]) for x in events[:i] if x["type"] == "response.output_text.delta") for i, e in enumerate(events) if e["type"].endswith("annotation.added")}
	print(json.dumps({"text": text == whole["text"], "told": [e["annotation"] for e in added] == whole["annotations"],
	                  "numbered": [e["annotation_index"] for e in added] == list(range(len(added))),
	                  "item": all(e["item_id"] == done["id"] and e["output_index"] == 0 and e["content_index"] == 0 for e in added),
	                  "ends": done["content"][0]["annotations"] == whole["annotations"] == last["content"][0]["annotations"],
	                  "behind": all(begun[e["annotation_index"]] >= e["annotation"]["end_index"] for e in added),
	                  "in_order": [e["sequence_number"] for e in events] == list(range(len(events)))}))
PY
py 'all(d.values())'
say $? "a stream tells each in an event of its own, behind its mark, and all in the end"

# --- Messages ---
post /v1/messages "{$messages}"
py 'd["stop_reason"] == "end_turn" and any(b.get("citations") for b in d["content"])'
say $? "a message has blocks with citations"
cp "$dir/out" "$dir/whole"
py 'all(c["type"] == "search_result_location" and c["source"].endswith("/bridge.md") and c["title"] == "The old bridge" and (c["start_block_index"], c["end_block_index"]) == (0, 1) and c["search_result_index"] in (0, 1) and "[%d]" % c["reference"]["number"] in b["text"] and open(c["source"], "rb").read().find(c["cited_text"].encode()) >= 0 for b in d["content"] for c in b.get("citations", []))'
say $? "each in the block of its sentence, with what it quotes"
post /v1/messages "{$messages,\"stream\":true}" && cp "$dir/out" "$dir/sse" && python3 - "$dir/sse" "$dir/whole" > "$dir/out" <<-'PY'
	import json, sys
	blocks, is_open = [], False
	for e in [json.loads(x[6:]) for x in open(sys.argv[1]) if x.startswith("data: {")]:
	    if e["type"] == "content_block_start":
	        assert not is_open and e["index"] == len(blocks)
	        blocks.append(e["content_block"])
	        is_open = True
	    elif e["type"] == "content_block_stop":
	        is_open = False
	    elif e["type"] == "content_block_delta":
	        assert is_open and e["index"] == len(blocks) - 1
	        delta = e["delta"]
	        if delta["type"] == "text_delta":
	            blocks[-1]["text"] += delta["text"]
	        else:
	            assert delta["type"] == "citations_delta"
	            blocks[-1].setdefault("citations", []).append(delta["citation"])
	print(json.dumps(blocks == json.load(open(sys.argv[2]))["content"]))
PY
py 'd is True'
say $? "a stream builds the same blocks with citations_delta"
post /v1/messages '{"messages":[{"role":"user","content":"Say: The sun is warm. The moon is cold."}],"temperature":0,"max_tokens":30}' && py 'len(d["content"]) == 1 and "citations" not in d["content"][0]'
say $? "without sources it is one block, and has none"
post /v1/messages/count_tokens "{$messages}" && py 'd["input_tokens"] > 80'
say $? "counting tokens counts the sources"

# --- refusals, in the names of each ---
bad() { post "$1" "{$2}" && [ "$status" = 400 ] && grep -q "$3" "$dir/out"; }
bad /v1/responses "$responses,\"include\":[\"message.output_text.logprobs\"]" '"param":"include"'
say $? "log-probabilities beside sources are refused"
bad /v1/responses "$responses,\"text\":{\"format\":{\"type\":\"json_object\"}}" '"param":"text.format"' &&
	bad /v1/messages "$messages,\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{}}}" 'output_config.format'
say $? "so is a form"
bad /v1/responses "$responses,\"tools\":[{\"type\":\"function\",\"name\":\"f\"}]" '"param":"tools"' &&
	bad /v1/messages "$messages,\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}]" 'tools beside sources'
say $? "and functions"
bad /v1/responses '"input":"x","sources":7' '"param":"sources"' && bad /v1/messages '"max_tokens":5,"messages":[{"role":"user","content":"x"}],"sources":{"top":1}' 'sources: '
say $? "and values that are none"
bad /v1/responses '"input":[{"role":"assistant","content":"x"}],"sources":true' '"param":"sources"'
say $? "and what has no question"

python=${CRIA_ORACLE_PYTHON:-python3}
if "$python" -c 'import openai, anthropic' 2> /dev/null; then
	"$python" "$root/tests/oracle/cited_clients.py" "$url" "$q" > "$dir/lines" 2> "$dir/err"
	say $? "the official clients read them"
	retell "$dir/lines"
else
	skip "the official clients" "$python has no openai or anthropic"
fi
for _ in 1 2 3 4 5 6; do
	curl -s -m 0.02 "$url/v1/responses" -d "{$responses}" > /dev/null &
	curl -s -m 0.02 "$url/v1/messages" -d "{$messages,\"stream\":true}" > /dev/null &
done
wait $(jobs -p | grep -v "^$pid$")
until_metric cria_requests_running 0
say $? "clients that leave meanwhile are forgotten"
stop
say $? "SIGTERM ends it"
start
bad /v1/responses "$responses" '.-index' && bad /v1/messages "$messages" '.-index'
say $? "without an index the field is a 400 that says so"
stop
plan
