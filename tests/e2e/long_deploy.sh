#!/bin/bash
# long_deploy.sh - two servers behind nginx, then behind HAProxy, with the configurations of examples/deploy:
# TLS, streams that are not held back, conversations that stay, a server that is killed, one that drains.
# Needs the default model, curl, openssl and each proxy.
. "$(dirname "$0")/tap.bash"
. "$(dirname "$0")/serve.bash"
deploy=$root/examples/deploy
name=llama.example.org
pids=()
trap 'kill "${pids[@]}" 2> /dev/null; rm -rf "$dir"' EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port1=$(free_port) port2=$(free_port)

# replica 1|2: starts it with the example's options; replica_pid[i].
replica() {
	local p=port$1
	"$CRIA" serve -m "$model" --config "$deploy/cria.toml" -c 1024 --port "${!p}" --allow-host $name 2> "$dir/replica.$1" &
	replica_pid[$1]=$!
	pids+=($!)
	for _ in $(seq 100); do grep -qs '^listening on' "$dir/replica.$1" && return 0; sleep 0.1; done
	return 1
}
written() { local p=port$1; curl -s -m 10 "http://127.0.0.1:${!p}/metrics" | sed -n 's/^cria_generation_tokens_total //p'; }

# ask SESSION N [CURL OPTIONS]: a chat of N tokens through the proxy.
ask() {
	local session=$1 n=$2
	shift 2
	status=$(curl -s -m 60 --cacert "$dir/cert.pem" --resolve "$name:$port:127.0.0.1" -o "$dir/out" -D "$dir/head" -w '%{http_code}' \
		${session:+-H "X-Session-Id: $session"} "$@" "https://$name:$port/v1/chat/completions" \
		-d "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"${topic:-Hello}\"}],\"max_tokens\":$n,\"ignore_eos\":true}")
	[ "$status" = 200 ]
}
# stays FROM: 6 chats with one X-Session-Id were all written by one server, of 16 others by both.
stays() {
	local a b i
	a=$(written 1) b=$(written 2)
	for i in 1 2 3 4 5 6; do ask "$1" 2 || return 1; done
	[ "$(written 1)" = "$a" ] || [ "$(written 2)" = "$b" ] || return 1
	a=$(written 1) b=$(written 2)
	for i in $(seq 16); do topic="Hello $i" ask "${1:+$1-$i}" 2 || return 1; done
	[ "$(written 1)" != "$a" ] && [ "$(written 2)" != "$b" ]
}
all_well() { local i; for i in $(seq 12); do ask "$1-$i" 2 || { echo "# $i: $status"; return 1; }; done; }

# events: reads a stream, prints the seconds from the first event to the last.
events() { python3 -c 'import sys, time; t = [time.time() for line in sys.stdin if line.startswith("data: ")]; print(f"{t[-1] - t[0]:.2f} {len(t)}")'; }

start_nginx() {
	local user=nobody
	[ "$(id -u)" = 0 ] && user=root
	mkdir -p "$dir/nginx"
	sed "s/8081/$port1/; s/8082/$port2/; s/listen 443/listen 127.0.0.1:$port/; s|/etc/ssl/certs/$name.pem|$dir/cert.pem|; s|/etc/ssl/private/$name.key|$dir/key.pem|" \
		"$deploy/nginx.conf" > "$dir/nginx/site"
	{
		echo "user $user; pid $dir/nginx/pid; error_log $dir/nginx/error; daemon off; events {} http { access_log off;"
		for part in client_body proxy fastcgi uwsgi scgi; do echo "${part}_temp_path $dir/nginx/$part;"; done
		echo "include $dir/nginx/site; }"
	} > "$dir/nginx/conf"
	nginx -c "$dir/nginx/conf" -e "$dir/nginx/error" 2> "$dir/nginx/said" &
	proxy=$!
}
start_haproxy() {
	cat "$dir/cert.pem" "$dir/key.pem" > "$dir/both.pem"
	sed "s/8081/$port1/; s/8082/$port2/; s/bind :443/bind 127.0.0.1:$port/; s|/etc/haproxy/$name.pem|$dir/both.pem|" "$deploy/haproxy.cfg" > "$dir/haproxy.cfg"
	haproxy -db -f "$dir/haproxy.cfg" > "$dir/haproxy.log" 2>&1 &
	proxy=$!
}

# through NAME: all checks with this proxy.
through() {
	port=$(free_port)
	replica 1 && replica 2
	say $? "$1: two servers"
	"start_$1"
	pids+=($proxy)
	for _ in $(seq 50); do ask "" 1 && break; sleep 0.2; done
	[ "$status" = 200 ] && header 'x-request-id: ' && py 'd["usage"]["completion_tokens"] == 1'
	say $? "$1: a chat over TLS"
	status=$(curl -s --cacert "$dir/cert.pem" --resolve "$name:$port:127.0.0.1" -o /dev/null -w '%{http_code}' "https://$name:$port/metrics")
	[ "$status" = 404 ]
	say $? "$1: metrics are not for everybody"
	curl -s -N -m 60 --cacert "$dir/cert.pem" --resolve "$name:$port:127.0.0.1" "https://$name:$port/v1/completions" \
		-d '{"prompt":"Once","max_tokens":100,"ignore_eos":true,"stream":true}' | events > "$dir/out"
	read -r seconds n_events < "$dir/out"
	python3 -c "import sys; sys.exit(not ($seconds > 0.15 and $n_events > 90))"
	say $? "$1: a stream of $n_events events comes over $seconds s"
	stays session-a
	say $? "$1: a session stays with one server, many sessions use both"
	if [ "$1" = haproxy ]; then
		stays ""
		say $? "$1: so does a conversation, by its first message"
	fi
	kill -9 "${replica_pid[1]}"
	wait "${replica_pid[1]}" 2> /dev/null
	all_well dead
	say $? "$1: a server is killed, no request fails"
	replica 1 && sleep 6 && a=$(written 1) && all_well again && [ "$(written 1)" != "$a" ]
	say $? "$1: it is used again when it is back"
	curl -s -N -m 60 --cacert "$dir/cert.pem" --resolve "$name:$port:127.0.0.1" "https://$name:$port/v1/completions" \
		-d '{"prompt":"Once","max_tokens":400,"ignore_eos":true,"stream":true}' > "$dir/sse" &
	stream=$!
	sleep 0.7
	a=$(written 1) b=$(written 2)
	sleep 0.3
	i=1
	[ "$(written 2)" = "$b" ] || i=2
	kill -TERM "${replica_pid[$i]}"
	all_well drain
	say $? "$1: a server drains, no request fails"
	wait $stream
	wait "${replica_pid[$i]}"
	[ $? = 0 ] && grep -q '^data: \[DONE\]' "$dir/sse"
	say $? "$1: and its stream comes to its end"
	kill $proxy "${replica_pid[@]}" 2> /dev/null
	wait
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$dir/key.pem" -out "$dir/cert.pem" -days 2 \
	-subj /CN=$name -addext "subjectAltName=DNS:$name" 2> /dev/null
say $? "a certificate"
for p in nginx haproxy; do
	if command -v $p > /dev/null; then through $p; else skip "$p" "$p is not here"; fi
done
plan
