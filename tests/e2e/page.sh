#!/bin/bash
# page.sh - the chat page without a browser: its files, their headers, their size, and that they name
# no other host. page_chromium.sh drives it in Chromium.
. "$(dirname "$0")/tap.bash"

if [ ! -f "$model" ] || ! command -v curl > /dev/null; then
	skip "the page" "the default model or curl is not here"
	plan
	exit 0
fi
unset http_proxy https_proxy all_proxy
"$CRIA" serve -m "$model" --port 0 -c 256 2> "$dir/server.err" &
pid=$!
trap 'kill $pid 2> /dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 300); do grep -q '^listening on' "$dir/server.err" && break; sleep 0.1; done
url=$(sed -n 's/^listening on //p' "$dir/server.err")
get() { status=$(curl -s -m 20 -D "$dir/head" -o "$dir/out" -w '%{http_code}' "${@:2}" "$url$1"); }
header() { grep -qi "^$1" "$dir/head"; }

get / && [ "$status" = 200 ] && header 'content-type: text/html' && cp "$dir/out" "$dir/index"
say $? "the page"
total=$(wc -c < "$dir/index") rc=0
cat "$dir/index" > "$dir/all"
for f in $(cd "$root/src/serve/page" && ls ./*.js ./*.css ./*.svg | cut -c3-); do
	get "/page/$f" && [ "$status" = 200 ] && cmp -s "$dir/out" "$root/src/serve/page/$f" && header 'x-content-type-options: nosniff' &&
		header "content-security-policy: default-src 'self';" && header 'etag: "' && header 'cache-control: no-cache'
	rc=$?
	say $rc "$f as it is in the sources, with its headers"
	total=$((total + $(wc -c < "$dir/out")))
	[ "$f" = icon.svg ] || cat "$dir/out" >> "$dir/all"
done
[ $total -gt 10000 ] && [ $total -lt 300000 ]
say $? "all of it is $total bytes, under 300,000"
! grep -nE "https?://[a-z]|@import|url\(" "$dir/all"
say $? "names no other host"
! grep -nE 'innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function| on[a-z]+="| style="' "$dir/all"
say $? "no string becomes HTML or script, nothing is inline"
get / && tag=$(sed -n 's/^[Ee][Tt]ag: //p' "$dir/head" | tr -d '\r') && get / -H "If-None-Match: $tag" && [ "$status" = 304 ] && get / -H 'If-None-Match: "x"' && [ "$status" = 200 ]
say $? "304 for what the browser has"
get /page/nothing && [ "$status" = 404 ] && get /page/../routes.c --path-as-is && [ "$status" = 404 ] && get / -X POST && [ "$status" = 405 ] && get /index.html && [ "$status" = 404 ]
say $? "nothing else is there"
plan
