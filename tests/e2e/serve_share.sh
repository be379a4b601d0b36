#!/bin/bash
# serve_share.sh - cria serve --share: links to chats, made and revoked by their owners.
. "$(dirname "$0")/tap.bash"
. "$(dirname "$0")/serve.bash"

refuses 2 "--share|--store" "$CRIA" serve -q -m "$model" --port 0 --share
say $? "without a store there is nothing to share: one line and exit 2"
printf 'alice %s\nbob %s\n' "$(printf sk-a | sha256sum | cut -d' ' -f1)" "$(printf sk-b | sha256sum | cut -d' ' -f1)" > "$dir/keys"
a=(-H 'Authorization: Bearer sk-a') b=(-H 'Authorization: Bearer sk-b')
chat='{"id":"c1","title":"Tea","leaf":"n2","nodes":{"n1":{"id":"n1","parent":null,"role":"user","content":"Tea or coffee? <b>x</b>"},"n2":{"id":"n2","parent":"n1","role":"assistant","content":"Tea."},"n3":{"id":"n3","parent":"n1","role":"assistant","content":"SECRET"}}}'

start --store "$dir/s.db" --keys "$dir/keys"
get /chats/c1 "${a[@]}" -X PUT -H 'If-None-Match: *' -d "$chat" && get /chats/c1/share "${a[@]}" -X POST && [ "$status" = 403 ] && py 'd["error"]["code"] == "not_enabled" and "--share" in d["error"]["message"]'
say $? "it is off by default: 403 that says how"
get /v1/models "${a[@]}" && py 'd["features"]["shares"] is False'
say $? "/v1/models tells so"
stop

start --store "$dir/s.db" --keys "$dir/keys" --share
get /chats/c1/share "${a[@]}" && [ "$status" = 404 ]
say $? "a chat has no link of itself"
get /chats/c1/share -X POST && [ "$status" = 401 ] && get /chats/c1/share "${b[@]}" -X POST && [ "$status" = 404 ]
say $? "nobody but its owner makes one"
get /chats/c1/share "${a[@]}" -X POST && [ "$status" = 200 ] && py 'd["id"] == "c1" and len(d["path"].split("#")[1]) == 48'
say $? "its owner does: 192 random bits"
token=$(sed -n 's/.*shared.html#\([0-9a-f]*\)".*/\1/p' "$dir/out")
get "/shared/$token" && [ "$status" = 200 ] && py 'd["title"] == "Tea" and [m["content"] for m in d["messages"]] == ["Tea or coffee? <b>x</b>", "Tea."]' && ! grep -q SECRET "$dir/out"
say $? "whoever has it reads the branch that was shown, without a key"
header 'Cache-Control: no-store' && header 'X-Robots-Tag: noindex'
say $? "nobody is to keep or list it"
get /page/shared.html && [ "$status" = 200 ] && header 'Content-Security-Policy: default-src .self' && header 'Referrer-Policy: no-referrer' && grep -q noindex "$dir/out"
say $? "the page has the policy of the others"
get /chats/c1/share "${a[@]}" && grep -q "$token" "$dir/out" && get /chats/c1/share "${a[@]}" -X POST && grep -q "$token" "$dir/out"
say $? "a chat has one link"
get /chats/c1 "${a[@]}" -X PUT -H 'If-Match: *' -d "${chat/Tea.\"/Later.\"}" && get "/shared/$token" && ! grep -q Later "$dir/out"
say $? "what is written later is not behind it"
get /chats/c1/share "${a[@]}" -X POST && get "/shared/$token" && grep -q Later "$dir/out"
say $? "until it is shared again"
get "/shared/$token" -X PUT -d x && [ "$status" = 405 ] && get "/shared/${token%?}" && [ "$status" = 404 ] && get '/shared/..%2F..' && [ "$status" = 404 ] && get /shared/ && [ "$status" = 404 ]
say $? "nothing can be written there, and other links show nothing"
get /chats/c1/share "${b[@]}" -X DELETE && [ "$status" = 404 ] && get "/shared/$token" && [ "$status" = 200 ]
say $? "nobody else revokes it"
! grep -q "$token" "$dir/server.err" && grep -q 'path=/shared/ ' "$dir/server.err"
say $? "the log does not have it"
kill -9 $pid
wait $pid 2> /dev/null
start --store "$dir/s.db" --keys "$dir/keys" --share
get "/shared/$token" && [ "$status" = 200 ]
say $? "it outlives kill -9"
get /chats/c1/share "${a[@]}" -X DELETE && py 'd["deleted"] is True' && get "/shared/$token" && [ "$status" = 404 ]
say $? "its owner revokes it: it shows nothing any more"
get /chats/c1/share "${a[@]}" -X POST && token=$(sed -n 's/.*shared.html#\([0-9a-f]*\)".*/\1/p' "$dir/out") && get /chats/c1 "${a[@]}" -X DELETE && get "/shared/$token" && [ "$status" = 404 ]
say $? "and so does deleting the chat"
get /chats/c2 "${a[@]}" -X PUT -H 'If-None-Match: *' -d "$(sed s/c1/c2/ <<< "$chat")" && get /chats/c2/share "${a[@]}" -X POST && token=$(sed -n 's/.*shared.html#\([0-9a-f]*\)".*/\1/p' "$dir/out")
stop
say $? "SIGTERM ends it"
start --store "$dir/s.db" --keys "$dir/keys"
[ -n "$token" ] && get "/shared/$token" && [ "$status" = 403 ]
say $? "without --share links that were made show nothing"
stop
plan
