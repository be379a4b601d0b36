#!/bin/bash
# serve_openapi.sh - the document at /openapi.json and the server it is about: examples, refusals and unknown
# fields (tests/tools/openapi_probe.py), then thousands of requests that schemathesis makes from it. Needs curl;
# schemathesis is looked for beside $CRIA_ORACLE_PYTHON, else python3. CRIA_EXAMPLES: how many of its own for each
# path (10), CRIA_SEED: of these.
. "$(dirname "$0")/tap.bash"
model=$root/tests/golden/model/llama3-f16.gguf # answers in a millisecond

. "$(dirname "$0")/serve.bash"

mkdir "$dir/town"
printf '# The old bridge\n\nThe old bridge was built in 1874.\n' > "$dir/town/bridge.md"
"$CRIA" index -q "$dir/town.db" "$dir/town"
echo "tester $(printf sk-test | sha256sum | cut -d' ' -f1)" > "$dir/keys"
key='Authorization: Bearer sk-test'
start -c 256 --keys "$dir/keys" --store "$dir/store.db" --index "$dir/town.db" --lora-dir "$root/tests/golden/lora"
say $? "listens"

get /openapi.json && [ "$status" = 200 ] && header 'content-type: application/json' && py 'd["openapi"].startswith("3.1.") and len(d["paths"]) > 20'
say $? "the document, without a key"
grep -q 'llama3-f16\|town\|tester\|127.0.0.1' "$dir/out"
[ $? = 1 ] && etag=$(tr -d '\r' < "$dir/head" | sed -n 's/^ETag: //Ip') && get /openapi.json -H "If-None-Match: $etag" && [ "$status" = 304 ]
say $? "says nothing of this server, and is kept by its ETag"
get /v1/openapi.json && [ "$status" = 200 ] && get /openapi.json -X POST && [ "$status" = 405 ] && header 'allow: GET, OPTIONS'
say $? "with /v1, and to be read only"
get /v1/responses/resp_1/input_items -H "$key" -X DELETE && [ "$status" = 405 ] && header 'allow: GET, OPTIONS' && get /v1/responses/resp_1/else -H "$key" && [ "$status" = 404 ] &&
	get /v1/responses//input_items -H "$key" && [ "$status" = 404 ]
say $? "a path with something behind what varies"

python3 "$root/tests/tools/openapi_probe.py" "$url" sk-test "$dir/server.err" > "$dir/probe" 2>&1
rc=$?
retell "$dir/probe"
[ $rc = 0 ] && [ "$(grep -c '^ok ' "$dir/probe")" -ge 30 ]
say $? "all bodies of the document"

python=${CRIA_ORACLE_PYTHON:-python3}
if ! "$python" -c 'import schemathesis' 2> /dev/null; then
	skip "schemathesis" "$python has no schemathesis"
else
	# what is valid may still be refused by this model (token ids, widths) and this key (its priority)
	(cd "$dir" && "$python" -c 'from schemathesis.cli import schemathesis; schemathesis()' run "$url/openapi.json" -H "$key" \
		--checks all --exclude-checks positive_data_acceptance --phases examples,coverage,fuzzing,stateful --continue-on-failure \
		--max-examples "${CRIA_EXAMPLES:-10}" --seed "${CRIA_SEED:-1}" --warnings off --no-color) > "$dir/st" 2>&1
	rc=$?
	sed -n '/SUMMARY/,$s/^/# /p' "$dir/st"
	[ $rc = 0 ] || sed -n '/FAILURES/,/SUMMARY/s/^/# /p' "$dir/st" | head -n 200
	[ $rc = 0 ] && grep -q 'Selected: \([0-9]*\)/\1' "$dir/st" && grep -q 'Test cases' "$dir/st"
	say $? "schemathesis"
	[ "$(grep -c '^request .* status=5' "$dir/server.err")" = 0 ]
	say $? "no request failed by the server's fault"
fi
get /health && [ "$status" = 200 ] && stop
say $? "ends well"
plan
