#!/bin/bash
# page_chats.sh - the page's chats in the server's store: /chats as the page and other clients see it.
# Needs the default model and curl.
. "$(dirname "$0")/tap.bash"
. "$(dirname "$0")/serve.bash"

hash() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
printf 'alice %s\nbob %s 1\n' "$(hash sk-alice)" "$(hash sk-bob)" > "$dir/keys"
alice='Authorization: Bearer sk-alice'
bob='Authorization: Bearer sk-bob'
# chat ID TITLE TEXT [UPDATED]: a chat as the page writes it; put ID BODY [CURL OPTIONS].
chat() { printf '{"id":"%s","title":"%s","updated":%s,"leaf":"n1","nodes":{"n1":{"id":"n1","parent":null,"role":"user","content":"%s"}}}' "$1" "$2" "${4:-1000}" "$3"; }
put() { local id=$1 body=$2; shift 2; printf %s "$body" > "$dir/body"; get "/chats/$id" -X PUT --data-binary "@$dir/body" "$@"; }
tag() { sed -n 's/^[Ee][Tt][Aa][Gg]: //p' "$dir/head" | tr -d '\r'; }
ids() { py "[c['id'] for c in d['data']] == '$1'.split()"; }

start --keys "$dir/keys" --store "$dir/store.db"
say $? "listens with a store and keys"
get /v1/models -H "$alice" && py 'd["features"]["chats"]'
say $? "the list of models says that chats are kept"

# ---- writing and reading ----
put c1 "$(chat c1 Rainbows 'Light in drops')" -H "$alice" -H 'If-None-Match: *' && [ "$status" = 200 ] && v1=$(tag) && py "d['id'] == 'c1' and d['object'] == 'chat' and '\"%d\"' % d['version'] == '$v1'"
say $? "a new chat is written, and its version said"
get /chats/c1 -H "$alice" && [ "$status" = 200 ] && [ "$(tag)" = "$v1" ] && cmp -s "$dir/out" "$dir/body" && get /v1/chats/c1 -H "$alice" && cmp -s "$dir/out" "$dir/body"
say $? "it comes back byte for byte"
put c1 "$(chat c1 Rainbows 'a second one')" -H "$alice" -H 'If-None-Match: *' && [ "$status" = 412 ] && py 'd["error"]["code"] == "version_conflict"'
say $? "a new chat does not overwrite"
put c1 "$(chat c1 Rainbows 'Light in drops of rain')" -H "$alice" -H "If-Match: $v1" && [ "$status" = 200 ] && v2=$(tag) && [ "$v2" != "$v1" ] &&
	put c1 "$(chat c1 Rainbows 'the other tab')" -H "$alice" -H "If-Match: $v1" && [ "$status" = 412 ] && get /chats/c1 -H "$alice" && grep -q 'of rain' "$dir/out"
say $? "of two tabs the second is told"
put c1 "$(chat c1 Rainbows x)" -H "$alice" && [ "$status" = 400 ] && py 'd["error"]["param"] == "If-Match"'
say $? "who does not say what they overwrite is refused"
get /chats/c1 -X DELETE -H "$alice" -H "If-Match: $v1" && [ "$status" = 412 ] && get /chats/c1 -H "$alice" && [ "$status" = 200 ]
say $? "nor is what was not seen deleted"

# ---- keys ----
get /chats && [ "$status" = 401 ] && get /chats/c1 -H "$bob" && [ "$status" = 404 ] && get /chats -H "$bob" && ids '' && get /chats/c1 -X DELETE -H "$bob" && [ "$status" = 404 ] &&
	put c1 "$(chat c1 Bob "Bob's")" -H "$bob" -H 'If-None-Match: *' && [ "$status" = 200 ] && get /chats/c1 -H "$alice" && grep -q 'of rain' "$dir/out"
say $? "a key has its own chats alone"
rc=0; for _ in 1 2 3; do get /chats -H "$bob" && [ "$status" = 200 ] || rc=1; done
say $rc "chats do not count against a key's quota"
get /chats -H "$alice" -H 'Origin: https://elsewhere.example' && [ "$status" = 403 ] && get /chats -H "$alice" -H 'Host: elsewhere.example' && [ "$status" = 403 ]
say $? "not for other pages"

# ---- list and search ----
put c2 "$(chat c2 Python 'How do I reverse a list?' 3000)" -H "$alice" -H 'If-None-Match: *'
put c3 "$(chat c3 'Über' '\u7ecf\u6d4e and 100% <b>' 2000)" -H "$alice" -H 'If-None-Match: *'
get /chats -H "$alice" && ids 'c2 c3 c1' && py 'd["object"] == "list" and not d["has_more"] and d["data"][0]["title"] == "Python" and d["data"][0]["updated"] == 3000 and d["data"][0]["version"] > 0'
say $? "the list, newest first"
get '/chats?limit=2' -H "$alice" && ids 'c2 c3' && py 'd["has_more"]' && get '/chats?limit=2&offset=2' -H "$alice" && ids c1 && py 'not d["has_more"]'
say $? "in pages"
get '/chats?q=rain' -H "$alice" && ids c1 && get '/chats?q=PYTHON' -H "$alice" && ids c2 && get '/chats?q=reverse+list' -H "$alice" && ids c2 && get '/chats?q=%E7%BB%8F%E6%B5%8E' -H "$alice" && ids c3 &&
	get '/chats?q=%25' -H "$alice" && ids c3 && get '/chats?q=rain&limit=1' -H "$bob" && ids ''
say $? "searched by title and text"
rc=0
for q in '%22' 'a%22+OR+%22' 'NEAR(' '*' '%27;DROP' '%FF%FE' '%00' '' '+++' '(((((((' 'text:x' '%E7%BB'; do
	get "/chats?q=$q" -H "$alice" && [ "$status" = 200 ] && py 'type(d["data"]) == list' || { echo "# q=$q: $status"; rc=1; }
done
say $rc "searches of any bytes"
while IFS='|' read -r query param; do
	get "/chats?$query" -H "$alice" && [ "$status" = 400 ] && py "d['error']['param'] == $param"
	say $? "refused: $query"
done <<-ROWS
	limit=0|'limit'
	limit=201|'limit'
	limit=x|'limit'
	offset=-1|'offset'
	offset=99999999999999999999|'offset'
	q=$(printf 'x%.0s' $(seq 501))|'q'
ROWS

# ---- what is no chat ----
deep=$(python3 -c 'print("[" * 100000)')
while IFS='|' read -r body want; do
	put bad "$body" -H "$alice" -H 'If-None-Match: *' && [ "$status" = 400 ] && grep -q "$want" "$dir/out" && get /chats/bad -H "$alice" && [ "$status" = 404 ]
	say $? "refused: ${body:0:60}"
done <<-ROWS
	|invalid_json
	{|invalid_json
	[]|invalid_json
	"x"|invalid_json
	$deep|invalid_json
	{"id":"bad","title":"\ud800","nodes":{}}|invalid_json
	{"id":"other","title":"t","nodes":{}}|"id"
	{"title":"t","nodes":{}}|"id"
	{"id":7,"title":"t","nodes":{}}|"id"
	{"id":"bad","title":7,"nodes":{}}|"title"
	{"id":"bad","title":"$(printf 'x%.0s' $(seq 1001))","nodes":{}}|"title"
	{"id":"bad","title":"t"}|"nodes"
	{"id":"bad","title":"t","nodes":[]}|"nodes"
	{"id":"bad","title":"t","nodes":{"a":null}}|"nodes"
	{"id":"bad","title":"t","nodes":{"a":{"id":"a","role":"user"}}}|"nodes"
	{"id":"bad","title":"t","nodes":{"a":{"id":"a","role":"user","content":7}}}|"nodes"
ROWS
for condition in 'If-Match: 17' 'If-Match: "x"' 'If-Match: W/"1"' 'If-Match: "-1"' 'If-Match: "99999999999999999999999"' 'If-None-Match: "1"'; do
	put c1 "$(chat c1 Rainbows x)" -H "$alice" -H "$condition" && [ "$status" = 400 ]
	say $? "refused: $condition"
done
python3 -c 'print("{\"id\":\"big\",\"title\":\"t\",\"nodes\":{\"a\":{\"id\":\"a\",\"role\":\"user\",\"content\":\"" + "x" * (4 << 20) + "\"}}}")' > "$dir/big"
get /chats/big -X PUT --data-binary "@$dir/big" -H "$alice" -H 'If-None-Match: *' && [ "$status" = 413 ] && get /chats/no%2Fsuch -H "$alice" && [ "$status" = 404 ] && get /chats/ -H "$alice" && [ "$status" = 404 ] && get /chats/c1/x -H "$alice" && [ "$status" = 404 ] &&
	post /chats '{}' -H "$alice" && [ "$status" = 405 ] && post /chats/c1 '{}' -H "$alice" && [ "$status" = 405 ] && header 'allow: GET, PUT, DELETE'
say $? "sizes, ids and methods that are not"

# ---- the disk ----
put c4 "$(chat c4 Last 'said to be kept')" -H "$alice" -H 'If-None-Match: *'
v4=$(tag)
kill -9 $pid
wait $pid 2> /dev/null
start --keys "$dir/keys" --store "$dir/store.db"
get /chats/c4 -H "$alice" && [ "$(tag)" = "$v4" ] && get '/chats?q=kept' -H "$alice" && ids c4 && get /chats/c4 -X DELETE -H "$alice" -H "If-Match: $v4" && py 'd == {"id":"c4","object":"chat","deleted":True}' && get /chats/c4 -H "$alice" && [ "$status" = 404 ]
say $? "kill -9 loses nothing; then it is deleted"
put c4 "$(chat c4 Last again)" -H "$alice" -H "If-Match: $v4" && [ "$status" = 412 ] && stop
say $? "an old version does not bring it back"
start --store "$dir/small.db" --store-mb 1
put c1 "$(chat c1 t x)" -H 'If-None-Match: *' && head -c 200000 "$dir/big" > "$dir/part" && printf '"}}}' >> "$dir/part" && get /chats/big -X PUT --data-binary "@$dir/part" -H 'If-None-Match: *' && [ "$status" = 507 ] && py 'd["error"]["code"] == "store_full"' && get /chats && ids c1 && stop
say $? "what does not fit is a 507, and nothing else is lost"
start
get /v1/models && py 'not d["features"]["chats"]' && get /chats && [ "$status" = 403 ] && py 'd["error"]["code"] == "not_enabled" and "--store" in d["error"]["message"]' && put c1 "$(chat c1 t x)" -H 'If-None-Match: *' && [ "$status" = 403 ] && stop
say $? "without --store they are the browser's"
plan
