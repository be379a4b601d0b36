#!/bin/bash
# serve_index.sh - cria serve --index-writable: documents that clients add to the index.
. "$(dirname "$0")/tap.bash"
. "$(dirname "$0")/serve.bash"

refuses 2 "--index-writable|--index" "$CRIA" serve -q -m "$model" --port 0 --index-writable 10
say $? "without an index there is nothing to write: one line and exit 2"
mkdir "$dir/town"
printf '# The mill museum\n\nThe mill beside the bridge ground corn until 1911.\n' > "$dir/town/mill.md"
printf '# The old bridge\n\nThe old bridge over the Tamar was built in 1874 by the Northern Railway.\n' > "$dir/bridge.md"
db=$dir/town.db
"$CRIA" index -q "$db" "$dir/town"

start --index "$db"
send() { get "/v1/index?name=$1" --data-binary "@$2" -H 'Content-Type: application/octet-stream'; }
send bridge.md "$dir/bridge.md" && [ "$status" = 403 ] && py 'd["error"]["code"] == "not_enabled" and "--index-writable" in d["error"]["message"]'
say $? "it is off by default: 403 that says how"
get /v1/models && py 'd["features"]["uploads"] is False'
say $? "/v1/models tells so"
stop

start --index "$db" --index-writable 10
get /v1/models && py 'd["features"]["uploads"] is True'
say $? "/v1/models tells that documents may be added"
send bridge.md "$dir/bridge.md" && [ "$status" = 200 ] && py 'd["status"] == "added" and d["passages"] == 1 and d["path"] == "upload:/bridge.md" and d["bytes"] > 50'
say $? "a document is added"
send bridge.md "$dir/bridge.md" && py 'd["status"] == "unchanged"'
say $? "the same once more changes nothing"
asked='"messages":[{"role":"user","content":"When was the old bridge over the Tamar built, and by whom?"}],"temperature":0,"max_tokens":60,"sources":true'
post /v1/chat/completions "{$asked}" && py 'd["choices"][0]["message"]["annotations"][0]["source"]["path"] == "upload:/bridge.md"'
say $? "answers cite it at once"
passage=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["choices"][0]["message"]["annotations"][0]["url_citation"]["url"])' "$dir/out")
get "$passage" && py 'd["text"].startswith("The old bridge") and d["title"] == "The old bridge"'
say $? "and its passage can be read"
post /v1/responses '{"input":"When was the old bridge over the Tamar built, and by whom?","temperature":0,"max_output_tokens":60,"sources":true}' && py 'd["output"][0]["content"][0]["annotations"][0]["filename"] == "bridge.md"'
say $? "/v1/responses names its file"
sed -i s/1874/1901/ "$dir/bridge.md"
send bridge.md "$dir/bridge.md" && py 'd["status"] == "changed"' && post /v1/chat/completions "{$asked}" && grep -q 1901 "$dir/out"
say $? "a newer one of its name takes its place"
send M%C3%BCller%20%26%20S%C3%B6hne.txt "$dir/bridge.md" && py 'd["path"] == "upload:/Müller & Söhne.txt"'
say $? "names may be in any language"
"$CRIA" index -q "$db" && "$CRIA" index "$db" --list > "$dir/out" 2> "$dir/err" && grep -q 'upload:/bridge.md' "$dir/out"
say $? "cria index beside the server leaves it alone"
"$CRIA" index -q "$db" --remove upload:/bridge.md && ! "$CRIA" index "$db" --list | grep -q 'upload:/bridge.md'
say $? "and removes it by its name"

if [ -x /usr/bin/bwrap ] && [ -x /usr/bin/pdftotext ] && python3 - "$dir/a.pdf" <<-'PY'
	import sys
	text = b"BT /F1 12 Tf 72 720 Td (The lighthouse of Bude was finished in 1835.) Tj ET"
	parts = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
	         b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
	         b"<</Length %d>>stream\n%s\nendstream" % (len(text), text), b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
	out, at = b"%PDF-1.4\n", []
	for i, p in enumerate(parts):
	    at.append(len(out))
	    out += b"%d 0 obj%s endobj\n" % (i + 1, p)
	xref = len(out)
	out += b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % a for a in at)
	open(sys.argv[1], "wb").write(out + b"trailer<</Size 6/Root 1 0 R>>startxref\n%d\n%%%%EOF" % xref)
PY
then
	send a.pdf "$dir/a.pdf"
	if [ "$status" = 400 ] && grep -q sandbox "$dir/out"; then skip "a PDF is added" "no sandbox can be made here"
	else py 'd["status"] == "added"'; say $? "a PDF is added, read in the sandbox"; fi
	printf '%%PDF-1.4\ngarbage' > "$dir/bad.pdf"
	send bad.pdf "$dir/bad.pdf" && [ "$status" = 400 ]
	say $? "one that is broken is a 400"
else
	skip "a PDF is added" "bubblewrap or pdftotext is not here"
fi

bad() { send "$1" "$2" && [ "$status" = "$3" ] && grep -q "$4" "$dir/out"; }
bad '..%2Fx.md' "$dir/bridge.md" 400 '"param":"name"' && bad '.x' "$dir/bridge.md" 400 '"param":"name"' && bad 'a%0Ab' "$dir/bridge.md" 400 '"param":"name"' && bad 'a%FFb' "$dir/bridge.md" 400 '"param":"name"' && bad "$(printf 'a%.0s' $(seq 201))" "$dir/bridge.md" 400 '"param":"name"'
say $? "names that are none are a 400 that names the field"
post /v1/index 'x' && [ "$status" = 400 ] && py 'd["error"]["code"] == "missing_required_parameter"'
say $? "so is a missing name"
: > "$dir/empty" && bad a.md "$dir/empty" 400 'empty'
say $? "an empty body is a 400"
head -c 4000 /dev/zero > "$dir/zeros" && bad a.bin "$dir/zeros" 400 'nothing here reads it'
say $? "so is what no reader takes"
printf 'PK\003\004broken' > "$dir/bad.docx" && bad bad.docx "$dir/bad.docx" 400 'bad.docx'
say $? "and what a reader refuses"
head -c 8500000 /dev/zero | tr '\0' 'x' > "$dir/large" && bad large.txt "$dir/large" 413 'request_too_large'
say $? "a body over 8 MiB is a 413"
python3 -c 'import random; random.seed(1); print("\n\n".join(" ".join("%x" % random.getrandbits(40) for _ in range(80)) for _ in range(7000)))' > "$dir/much.txt"
send much.txt "$dir/much.txt"
[ "$status" = 200 ] || [ "$status" = 507 ] && bad more.txt "$dir/much.txt" 507 'store_full'
say $? "when the index has its megabytes: 507"
get /v1/index && [ "$status" = 405 ] && get "/v1/index?name=a.md" -H 'Origin: https://evil.example' -d x && [ "$status" = 403 ]
say $? "another method is a 405, another page's request a 403"
for i in $(seq 20); do curl -s -o /dev/null -w '%{http_code}\n' "$url/v1/index?name=n$i.md" -d "Number $i is a number of its own." & done > "$dir/codes"
wait $(jobs -p | grep -v "^$pid$")
sort "$dir/codes" | uniq -c > "$dir/out"
! grep -qvE ' (200|429|507)$' "$dir/out" && [ "$(wc -l < "$dir/codes")" = 20 ]
say $? "many at once are added, or told to come again, or that it is full"
for i in 1 2 3; do curl -s -m 0.01 "$url/v1/index?name=gone$i.md" -d "x" > /dev/null; done
get /health && [ "$status" = 200 ]
say $? "clients that leave harm nothing"
stop
say $? "SIGTERM ends it"
plan
