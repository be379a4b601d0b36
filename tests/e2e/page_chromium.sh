#!/bin/bash
# page_chromium.sh - a person at the chat page, in Chromium (tests/tools/page_drive.py). Needs the default
# model, chromium, chromium-driver and python3-selenium. SHOTS=FOLDER also takes pictures.
. "$(dirname "$0")/tap.bash"

if [ ! -f "$model" ] || [ ! -x /usr/bin/chromedriver ] || ! /usr/bin/python3 -c 'import selenium' 2> /dev/null; then
	skip "the page in Chromium" "the default model, chromium-driver or python3-selenium is not here"
	plan
	exit 0
fi
unset http_proxy https_proxy all_proxy
mkdir "$dir/town"
printf '# The old bridge\n\nThe old bridge over the Tamar was built in 1874 by the Northern Railway. It has five arches and is 120 metres long.\n' > "$dir/town/bridge.md"
printf '# The mill museum\n\nThe mill beside the bridge ground corn until 1911. It has been a museum since 1985, and is open from April to October.\n' > "$dir/town/mill.md"
"$CRIA" index -q "$dir/town.db" "$dir/town"
"$CRIA" serve -m "$model" --port 0 -c 1024 --store "$dir/store.db" --share 2> "$dir/shared.err" &
shared=$!
INDEX=$dir/town.db
export INDEX
"$CRIA" serve -m "$model" --port 0 -c 2048 --index "$INDEX" --index-writable 50 2> "$dir/server.err" &
pid=$!
trap 'kill $pid $shared 2> /dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 300); do grep -q '^listening on' "$dir/server.err" && grep -q '^listening on' "$dir/shared.err" && break; sleep 0.1; done
SHARED=$(sed -n 's/^listening on //p' "$dir/shared.err")
export SHARED
/usr/bin/python3 "$root/tests/tools/page_drive.py" "$(sed -n 's/^listening on //p' "$dir/server.err")" ${SHOTS:-} > "$dir/log" 2>&1
rc=$?
retell "$dir/log"
[ $rc = 0 ] && grep -q '^ok the console is silent' "$dir/log"
say $? "to the end"
plan
