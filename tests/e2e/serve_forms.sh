#!/bin/bash
# serve_forms.sh - answers of a given form over HTTP: every field that asks for one, with streams, n, stop strings
# and log-probabilities, and what is refused. Needs the default model and curl.
. "$(dirname "$0")/tap.bash"

. "$(dirname "$0")/serve.bash"

start --parallel 4
say $? "listens"
chat() { post /v1/chat/completions "{\"messages\":[{\"role\":\"user\",\"content\":\"Tell me about a city as JSON.\"}],\"seed\":3,\"max_tokens\":${tokens:-150},$1}"; }
content='(t := d["choices"][0]["message"]["content"])'
city='{"type":"object","properties":{"name":{"type":"string","maxLength":20},"people":{"type":"integer","minimum":0,"maximum":99999999},"sea":{"type":"boolean"}},"required":["name","people","sea"],"additionalProperties":false}'
is_city='(o := json.loads(t)) and list(o) == ["name","people","sea"] and isinstance(o["people"], int) and len(o["name"]) <= 20 and isinstance(o["sea"], bool)'

post /v1/chat/completions '{"messages":[{"role":"user","content":"Give me a JSON object with the key \"city\" and the value \"Rome\"."}],"response_format":{"type":"json_object"},"temperature":0,"max_tokens":100}' &&
	py "$content and isinstance(json.loads(t), dict) and d['choices'][0]['finish_reason'] == 'stop'"
say $? "any object"
# field ~ what the content t must be
while IFS='~' read -r field want; do
	[ -n "$field" ] || continue
	chat "${field//CITY/$city}" && [ "$status" = 200 ] && py "($content or True) and d['choices'][0]['finish_reason'] == 'stop' and ($want)"
	say $? "$field"
done <<ROWS
"response_format":{"type":"json_schema","json_schema":{"name":"city","strict":true,"schema":CITY}}~$is_city
"response_format":{"type":"json_schema","json_schema":{"name":"city","schema":CITY}}~$is_city
"response_format":{"type":"json_schema","schema":CITY}~$is_city
"response_format":{"type":"json_object","schema":CITY}~$is_city
"json_schema":CITY~$is_city
"guided_json":CITY~$is_city
"structured_outputs":{"json":CITY}~$is_city
"guided_regex":"[A-Z][a-z]{2,8} lies by the (sea|river)[.]"~__import__("re").fullmatch("[A-Z][a-z]{2,8} lies by the (sea|river)[.]", t)
"structured_outputs":{"regex":"[0-9]{4}"}~len(t) == 4 and t.isdigit()
"guided_choice":["red \"one\"","blue\n\u00fc"]~t in ['red "one"', 'blue\n\u00fc']
"structured_outputs":{"choice":["yes","no"]}~t in ["yes", "no"]
"grammar":"root ::= \"a\" [bc] \"d\""~t in ["abd", "acd"]
"guided_grammar":"root ::= \"x\"{3}"~t == "xxx"
"response_format":{"type":"text"},"guided_choice":["free"]~t == "free"
ROWS
chat '"grammar":"","response_format":null,"guided_choice":["free"]' && py "$content == 'free'"
say $? "empty ones ask for nothing"
tokens=5
chat '"response_format":{"type":"json_object"},"temperature":0' && py 'd["choices"][0]["finish_reason"] == "length"'
say $? "one that is cut says so"
tokens=
post /v1/completions '{"prompt":"The capital of France is","guided_choice":[" Rome"," Paris"],"temperature":0}' && py 'd["choices"][0]["text"] == " Paris" and d["choices"][0]["finish_reason"] == "stop"'
say $? "a text, too"
chat "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"city\",\"schema\":$city}},\"stream\":true,\"stream_options\":{\"include_usage\":true}" && as_stream &&
	py "(t := d['text']) and d['done'] and d['finish'] == ['stop'] and len(d['events']) > 8 and $is_city"
say $? "as a stream"
chat "\"n\":3,\"temperature\":1.5,\"guided_json\":$city" && py "all((t := c['message']['content']) and (o := json.loads(t)) and list(o) == ['name','people','sea'] and c['finish_reason'] == 'stop' for c in d['choices']) and len({c['message']['content'] for c in d['choices']}) == 3"
say $? "three answers, each of the form"
chat '"guided_regex":"[ab]{8}","logprobs":true,"top_logprobs":3,"temperature":0' &&
	py "$content and (l := d['choices'][0]['logprobs']['content']) and ''.join(x['token'] for x in l) == t and all(x['logprob'] <= 0 and len(x['top_logprobs']) == 3 for x in l)"
say $? "log-probabilities are the model's own, of the tokens that were taken"
chat '"guided_regex":"[ab]{8}c[ab]{8}","stop":["c"]' && py "$content and len(t) == 8 and 'c' not in t and d['choices'][0]['finish_reason'] == 'stop'"
say $? "a stop string ends it before the form does"
chat '"guided_regex":"[ab]{8}","logit_bias":{"81":-100}' && [ "$status" = 200 ] && py "$content and len(t) == 8"
say $? "with a bias"

# field ~ code ~ param
while IFS='~' read -r field code param; do
	[ -n "$field" ] || continue
	chat "$field"
	[ "$status" = 400 ] && py "(e := d['error'])['code'] == '$code' and e['param'] == '$param' and len(e['message']) > 10"
	say $? "refuses $field"
done <<'ROWS'
"response_format":"json"~invalid_value~response_format
"response_format":{}~missing_required_parameter~response_format.type
"response_format":{"type":"xml"}~invalid_value~response_format.type
"response_format":{"type":"json_schema"}~missing_required_parameter~response_format.json_schema
"response_format":{"type":"json_schema","json_schema":7}~invalid_value~response_format.json_schema
"response_format":{"type":"json_schema","json_schema":{"schema":{}}}~missing_required_parameter~response_format.json_schema.name
"response_format":{"type":"json_schema","json_schema":{"name":"a b","schema":{}}}~invalid_value~response_format.json_schema.name
"response_format":{"type":"json_schema","json_schema":{"name":"a"}}~missing_required_parameter~response_format.json_schema.schema
"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":[1]}}~invalid_value~response_format.json_schema.schema
"response_format":{"type":"json_schema","json_schema":{"name":"a","strict":1,"schema":{}}}~invalid_value~response_format.json_schema.strict
"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"objekt"}}}~invalid_value~response_format.json_schema.schema
"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"not":{}}}}~unsupported_parameter~response_format.json_schema.schema
"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"$ref":"#/$defs/x"}}}~invalid_value~response_format.json_schema.schema
"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"$ref":"#"}}}~invalid_value~response_format.json_schema.schema
"json_schema":{"enum":[]}~invalid_value~json_schema
"guided_json":"{\"type\":"~invalid_value~guided_json
"guided_regex":"(a"~invalid_value~guided_regex
"guided_regex":"(?=a)b"~unsupported_parameter~guided_regex
"guided_regex":7~invalid_value~guided_regex
"guided_regex":"(a|b)*a(a|b){20}"~invalid_value~guided_regex
"guided_choice":[]~invalid_value~guided_choice
"guided_choice":["a",1]~invalid_value~guided_choice
"grammar":"root = x"~invalid_value~grammar
"grammar":"root ::= root \"a\""~invalid_value~grammar
"structured_outputs":{"json":{},"regex":"a"}~invalid_value~structured_outputs.regex
"structured_outputs":{"structural_tag":{}}~unsupported_parameter~structured_outputs
"structured_outputs":[]~invalid_value~structured_outputs
"guided_regex":"a","grammar":"root ::= \"a\""~invalid_value~grammar
"guided_regex":"a","ignore_eos":true~invalid_value~ignore_eos
ROWS

# A schema that takes the compiler as long as there is holds nobody else up, and ends.
python3 - > "$dir/bomb" <<'PY'
import json
alts = [{"type": "string", "pattern": "^(a|b)*a(a|b){%d}$" % n} for n in (13, 14, 15)]
print(json.dumps({"messages": [{"role": "user", "content": "x"}], "max_tokens": 4, "guided_json": {"anyOf": alts}}))
PY
python3 - "$url" "$dir/bomb" > "$dir/out" <<'PY'
import json, sys, threading, time, urllib.request
url, bomb = sys.argv[1], open(sys.argv[2], "rb").read()
def send(path, data=None):
    t = time.time()
    try:
        status = urllib.request.urlopen(urllib.request.Request(url + path, data), timeout=120).status
    except urllib.error.HTTPError as e:
        status = e.code
    return status, time.time() - t
bombs = []
threads = [threading.Thread(target=lambda: bombs.append(send("/v1/chat/completions", bomb))) for _ in range(3)]
for t in threads: t.start()
health = [send("/health") for _ in range(20)]
for t in threads: t.join()
print(json.dumps({"bombs": bombs, "health": max(t for _, t in health)}))
PY
py 'all(s in (200, 400) and t < 30 for s, t in d["bombs"]) and d["health"] < 0.5'
say $? "hostile schemas end in time, and nobody waits for them"
stop
say $? "ends well"
plan
