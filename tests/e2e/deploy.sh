#!/bin/bash
# deploy.sh - cria serve under systemd: what it tells the service manager, and the unit file. Needs the
# default model and curl; systemd-analyze for the unit.
. "$(dirname "$0")/tap.bash"
. "$(dirname "$0")/serve.bash"

python3 "$root/tests/tools/notify_socket.py" "$dir/notify" > "$dir/told" &
manager=$!
trap 'kill $pid $manager 2> /dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 50); do [ -S "$dir/notify" ] && break; sleep 0.1; done
export NOTIFY_SOCKET=$dir/notify
WATCHDOG_USEC=60000000 start && sleep 2.5 && head -n 1 "$dir/told" | grep -q "^READY=1 STATUS=listening on $url\$" && [ "$(grep -c '^WATCHDOG=1$' "$dir/told")" -ge 2 ]
say $? "says that it is ready, then signs of life"
stop && sleep 0.2 && [ "$(tail -n 1 "$dir/told")" = STOPPING=1 ]
say $? "and that it ends"
: > "$dir/told"
start && sleep 1.5 && stop && sleep 0.2 && grep -q '^READY=1' "$dir/told" && ! grep -q WATCHDOG "$dir/told"
say $? "no signs of life where none are asked for"
unset NOTIFY_SOCKET

if command -v systemd-analyze > /dev/null; then
	unit="$dir/cria@8081.service"
	sed "s|/usr/local/bin/cria|$CRIA|" "$root/examples/deploy/cria@.service" > "$unit"
	run systemd-analyze verify "$unit" && [ ! -s "$dir/err" ]
	say $? "systemd takes the unit"
	run systemd-analyze security --offline=true --threshold=15 "$unit"
	say $? "and finds it locked down"
else
	skip "the unit" "systemd-analyze is not here"
fi
plan
