#!/bin/bash
# index_web.sh - cria index URL against a server with every bad habit (tests/tools/web_pages.py).
. "$(dirname "$0")/tap.bash"

unset http_proxy https_proxy all_proxy
python3 "$root/tests/tools/web_pages.py" "$dir/log" > "$dir/port" &
server=$!
trap 'kill $server 2> /dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 100); do [ -s "$dir/port" ] && break; sleep 0.1; done
at=http://127.0.0.1:$(cat "$dir/port")
db=$dir/web.db
index() { run "$CRIA" index "$db" --allow-private "$@"; }
# fails "PART|PART" ARGS...: exit 1, the parts on stderr, within five seconds.
fails() {
	local parts=$1 part begin=$SECONDS
	shift
	run "$CRIA" index "$db" "$@" && return 1
	[ $((SECONDS - begin)) -lt 5 ] || return 1
	while [ -n "$parts" ]; do
		part=${parts%%|*}
		[ "$part" = "$parts" ] && parts= || parts=${parts#*|}
		grep -qF -- "$part" "$dir/err" || { echo "# stderr does not say: $part"; return 1; }
	done
}

index "$at/page#part" "$at/notes.md" "$at/latin" "$at/packed" --json && py 'd["added"] == 4 and d["failed"] == 0'
say $? "pages are indexed"
run "$CRIA" search "$db" 'spring tide' --json && py 'd[0]["path"].startswith("http://127.0.0.1") and "#" not in d[0]["path"] and d[0]["title"] == "Tides"'
say $? "and found under their addresses"
run "$CRIA" search "$db" 'ferry' --json && py 'd[0]["title"] == "Ferry"'
say $? "a name decides where the type says text and no more"
run "$CRIA" search "$db" 'Fährmann' --json && py '"heißt Jürgen" in d[0]["text"]'
say $? "the charset of the type is used"
index --json && py 'd["unchanged"] == 4 and d["added"] == 0' && grep -q '^/page 304 "v1"' "$dir/log"
say $? "a second run asks with the ETag, and the server need not send it again"
echo "The harbour master is Berglind." > "$dir/log.page"
index "$at/changing" --json && index "$at/changing" --json && py 'd["unchanged"] == 1' &&
	grep -q '^/changing 200 - Tue, 01 Oct 2024 10:00:00 GMT' "$dir/log"
say $? "Last-Modified comes along; a page sent anyway is compared"
echo "The harbour master is Thorvald." > "$dir/log.page"
index "$at/changing" --json && py 'd["changed"] == 1' && run "$CRIA" search "$db" 'harbour master' --json && py 'len(d) == 1 and "Thorvald" in d[0]["text"]'
say $? "a page that has changed takes the place of the old"
index "$at/there" --json && py 'd["added"] == 1'
say $? "redirects are followed"
before=$(wc -l < "$dir/log")
for to in "$at/page" "http://localhost:${at##*:}/page" "http://[::ffff:127.0.0.1]:${at##*:}/page" \
	"http://0x7f000001:${at##*:}/page" "http://2130706433:${at##*:}/page" "http://0:${at##*:}/page" "http://[::1]:${at##*:}/page"; do
	fails "not public|--allow-private|could not be read" "$to"
	say $? "a private address is refused: ${to%:*}"
done
[ "$(wc -l < "$dir/log")" = "$before" ]
say $? "before a request is sent"
fails "169.254.169.254 is not public" http://169.254.169.254/latest/meta-data/
say $? "metadata of clouds is refused"
for to in file:///etc/passwd gopher://127.0.0.1/x ftp://127.0.0.1/x 'http://user:word@127.0.0.1/page'; do
	fails "redirects|is no address of a page" --allow-private "$at/away?to=$to"
	say $? "a redirect that is not followed: $to"
done
# A network of its own, in which this machine has a public address too.
cat > "$dir/inside.sh" << 'END'
ip link set lo up && ip addr add 93.184.215.14/32 dev lo || exit 9
python3 "$1/tests/tools/web_pages.py" "$3/public.log" 0.0.0.0 > "$3/public.port" &
server=$!
for _ in $(seq 100); do [ -s "$3/public.port" ] && break; sleep 0.1; done
port=$(cat "$3/public.port")
at=http://93.184.215.14:$port
"$2" index "$3/public.db" "$at/there"; echo "public $?"
for to in "http://127.0.0.1:$port/page" "http://localhost:$port/page" "http://[::1]:$port/page" "http://169.254.169.254/"; do
	"$2" index "$3/public.db" "$at/away?to=$to"; echo "private $?"
done
kill $server
END
if unshare -Urn ip link set lo up 2> /dev/null; then
	unshare -Urn bash "$dir/inside.sh" "$root" "$CRIA" "$dir" > "$dir/out" 2> "$dir/err"
	[ "$(tr '\n' ' ' < "$dir/out")" = "public 0 private 1 private 1 private 1 private 1 " ] &&
		[ "$(grep -c 'is not public; --allow-private' "$dir/err")" = 4 ] &&
		[ "$(grep -c '^/page' "$dir/public.log")" = 1 ]
	say $? "redirects from a public page to private addresses are refused"
else
	skip "redirects from a public page to private addresses are refused" "no network namespace here"
fi
fails "more than 5 redirects" --allow-private "$at/loop"; say $? "redirects have an end"
fails "redirects to nowhere" --allow-private "$at/nowhere"; say $? "a redirect to nowhere"
fails "longer than 1000000 bytes" --allow-private --max-file 1 "$at/huge"; say $? "a huge body is cut off"
fails "longer than 1000000 bytes" --allow-private --max-file 1 "$at/bomb"; say $? "a packed body is measured unpacked"
fails "not here after 1 s" --allow-private --page-time 1 "$at/drip"; say $? "a slow body is given up"
fails "could not be read" --allow-private "$at/headers"; say $? "headers have an end"
fails "connection was cut" --allow-private "$at/cut"; say $? "half a page is no page"
fails "nothing here reads its content (image/png)" --allow-private "$at/picture"; say $? "the type decides, not the bytes"
fails "nothing here reads its content (application/octet-stream)" --allow-private "$at/binary"; say $? "binary is passed over"
fails "answers 404" --allow-private "$at/nothing"; say $? "a page that is not there"
fails "1 of 2 pages|answers 404" --allow-private "$at/nothing" "$at/page"; say $? "one of two"
refuses 2 "no address of a page" "$CRIA" index "$db" 'http://user:word@127.0.0.1/page'; say $? "passwords are not kept"
run "$CRIA" index "$db" --list --json && [ "$(wc -l < "$dir/out")" = 6 ]
say $? "what failed has left nothing"
run "$CRIA" index "$db" --remove "$at/page" && run "$CRIA" index "$db" --list && [ "$(wc -l < "$dir/out")" = 5 ] &&
	index "$at/page" --json && py 'd["added"] == 1' && tail -1 "$dir/log" | grep -q '^/page 200 - -'
say $? "--remove forgets a page and its ETag"
plan
