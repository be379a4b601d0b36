#!/bin/bash
# search_web.sh - cria search --searx against a SearxNG that is none (tests/tools/fake_searx.py, web_pages.py).
. "$(dirname "$0")/tap.bash"

unset http_proxy https_proxy all_proxy
python3 "$root/tests/tools/web_pages.py" "$dir/log" > "$dir/port" &
pages=$!
trap 'kill $pages $searx 2> /dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 100); do [ -s "$dir/port" ] && break; sleep 0.1; done
python3 "$root/tests/tools/fake_searx.py" "http://127.0.0.1:$(cat "$dir/port")" > "$dir/searx" &
searx=$!
for _ in $(seq 100); do [ -s "$dir/searx" ] && break; sleep 0.1; done
at=http://127.0.0.1:$(cat "$dir/searx")
web() { local how=$1; shift; run "$CRIA" search --searx "$at/$how" --allow-private "$@"; }

web plain 'spring tide & more?' --json && py 'd[0]["title"] == "Tides" and d[0]["path"].endswith("/page")' && [ "$(grep -c '^/page' "$dir/log")" = 1 ]
say $? "passages come from the pages that the server names, each fetched once"
web mixed ferry --json && py 'len(d) == 1 and d[0]["title"] == "Ferry"' && grep -q 'answers 404' "$dir/err" && grep -q 'image/png' "$dir/err"
say $? "what is no web page, or cannot be had, is passed over"
: > "$dir/log"
web plain tide --pages 1 --json && [ "$(wc -l < "$dir/log")" = 1 ]
say $? "--pages"
run "$CRIA" search --searx "$at/none" nothing && [ ! -s "$dir/out" ] && grep -q 'no passage' "$dir/err"
say $? "no results"
: > "$dir/log"
run "$CRIA" search --searx "$at/plain" tide
[ $? = 1 ] && [ "$(grep -c 'is not public' "$dir/err")" = 2 ] && grep -q 'none of the 2 pages' "$dir/err" && [ ! -s "$dir/log" ]
say $? "results on private addresses are not fetched, though the server is on one"
web dead tide; [ $? = 1 ] && grep -q 'none of the 2 pages' "$dir/err"
say $? "no page that can be had"
refuses 1 "add json to search.formats|403" "$CRIA" search --searx "$at/forbidden" x -q; say $? "a server that does not give out JSON"
refuses 1 "the search's reply" "$CRIA" search --searx "$at/html" x -q; say $? "a reply that is none"
refuses 1 'no array "results"' "$CRIA" search --searx "$at/object" x -q; say $? "a reply of another shape"
refuses 1 "longer than" "$CRIA" search --searx "$at/long" x -q; say $? "a reply without end"
refuses 1 "no connection" "$CRIA" search --searx http://127.0.0.1:1 x -q; say $? "no server"
refuses 2 "no address" "$CRIA" search --searx localhost x -q; say $? "no address"
refuses 2 "a question alone" "$CRIA" search --searx "$at" db x -q; say $? "an index has no place beside it"
refuses 2 "name an index" "$CRIA" search x -q; say $? "without it an index has"
plan
