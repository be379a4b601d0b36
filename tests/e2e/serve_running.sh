#!/bin/bash
# serve_running.sh - cria serve over time: clients that leave, do not read or come too slowly, many at once,
# SIGTERM, keys and quotas, a full queue, TLS. Needs the default model and curl.
. "$(dirname "$0")/tap.bash"
. "$(dirname "$0")/serve.bash"

start --parallel 16 --drain 200
say $? "listens"

# ---- leaving ----
probe cancel 1 > "$dir/out" && [ "$(cat "$dir/out")" = 1 ] && until_metric cria_requests_running 0
say $? "a client that leaves a stream frees its place"
probe leave && until_metric cria_requests_running 0 && grep -q 'status=499' "$dir/server.err"
say $? "one that leaves a silent answer, too"
cancels=${CRIA_CANCELS:-50}
[ "$(probe cancel $cancels)" = $cancels ] && until_metric cria_requests_running 0 && until_metric cria_connections 1
say $? "$cancels of them"
python3 "$probe" "${url#*//}" slow-header > "$dir/cut" &
late=$!
probe slow-reader > "$dir/out" && until_metric cria_slow_readers_total 1 && until_metric cria_requests_running 0
say $? "a client that does not read is cut off"
wait $late
cut=$(cat "$dir/cut")
[ "$cut" -ge 9 ] && [ "$cut" -le 14 ] && [ "$(metric cria_late_requests_total)" = 1 ] || { echo "# cut off after $cut s"; false; }
say $? "a header that drips is cut off"

# ---- while the model is busy ----
python3 -c 'import json; print(json.dumps({"prompt":"many words " * 700,"max_tokens":1}))' > "$dir/long"
curl -s -d "@$dir/long" "$url/v1/completions" > /dev/null &
busy=$!
sleep 0.2
slowest=$(probe health 10)
[ "$slowest" -le 50 ] || echo "# slowest $slowest ms"
[ "$slowest" -le "${CRIA_HEALTH_MS:-500}" ]
say $? "health while a prompt is read"
wait $busy

# ---- the end ----
for i in 1 2 3; do python3 "$probe" "${url#*//}" stream "$dir/sse.$i" 100 & streams[i]=$!; done
until_metric cria_requests_running 3
kill -TERM $pid
sleep 0.3
[ "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "$url/health")" = 000 ] && kill -0 $pid
say $? "takes nobody new after SIGTERM"
wait $pid
rc=$?
wait "${streams[@]}"
[ $rc = 0 ] && [ "$(cat "$dir"/sse.[123] | grep -c '^data: \[DONE\]')" = 3 ]
say $? "lets streams end, and ends well"
start --drain 1
python3 "$probe" "${url#*//}" stream "$dir/sse" 2000 &
late=$!
until_metric cria_requests_running 1 && stop && wait $late && grep -q 'shutting_down' "$dir/sse"
say $? "but not for ever"

# ---- keys, quotas, queue, pages ----
hash() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
printf '# comment\nalice %s\nbob %s 2 0\n' "$(hash sk-alice)" "$(hash sk-bob)" > "$dir/keys"
start --keys "$dir/keys" --parallel 1 --queue 1 --cors https://page.example --alias gpt-4o --host 0.0.0.0 --log-json
say $? "listens on a public address with keys"
url=http://127.0.0.1:${url##*:}
get /v1/models && [ "$status" = 401 ] && header 'www-authenticate: Bearer' && py 'd["error"]["code"] == "invalid_api_key"' &&
	get /v1/models -H 'Authorization: Bearer sk-mallory' && [ "$status" = 401 ] && get /health && [ "$status" = 200 ] &&
	get /metrics && [ "$status" = 401 ]
say $? "no key and a wrong one"
get /v1/models -H 'Authorization: Bearer sk-alice' && [ "$status" = 200 ] && get /v1/models -H 'X-Api-Key: sk-alice' && [ "$status" = 200 ]
say $? "a right one"
for i in 1 2 3; do post /tokenize '{"content":"x"}' -H 'Authorization: Bearer sk-bob'; done
[ "$status" = 429 ] && header 'retry-after: [0-9]' && py 'd["error"]["code"] == "rate_limit_exceeded"'
say $? "more than a key's quota"
printf 'carol %s\n' "$(hash sk-carol)" > "$dir/keys.new" && mv "$dir/keys.new" "$dir/keys"
sleep 1.5
get /v1/models -H 'Authorization: Bearer sk-carol' && [ "$status" = 200 ] && get /v1/models -H 'Authorization: Bearer sk-alice' && [ "$status" = 401 ]
say $? "the key file is edited while it runs"
echo 'half a li' > "$dir/keys"
sleep 1.5
get /v1/models -H 'Authorization: Bearer sk-carol' && [ "$status" = 200 ] && grep -q 'keys of before' "$dir/server.err"
say $? "a broken key file changes nothing"
key='Authorization: Bearer sk-carol'
get /v1/chat/completions -X OPTIONS -H 'Origin: https://page.example' -H 'Access-Control-Request-Method: POST' -H 'Access-Control-Request-Headers: authorization,x-stainless-os' &&
	[ "$status" = 204 ] && header 'access-control-allow-origin: https://page.example' && header 'access-control-allow-headers: authorization,x-stainless-os' &&
	get /v1/models -H "$key" -H 'Origin: https://page.example' && [ "$status" = 200 ] && header 'access-control-allow-origin: https://page.example' &&
	get /v1/models -H "$key" -H 'Origin: https://other.example' && [ "$status" = 403 ]
say $? "pages that may ask"
post /v1/chat/completions "{$question,\"max_tokens\":2,\"model\":\"gpt-4o\"}" -H "$key" && [ "$status" = 200 ]
say $? "another name of the model"
for i in 1 2; do curl -s -N -H "$key" -d "{$question,\"ignore_eos\":true,\"stream\":true}" "$url/v1/chat/completions" > /dev/null & full[i]=$!; done
sleep 1
post /v1/chat/completions "{$question}" -H "$key" && [ "$status" = 429 ] && header 'retry-after: [0-9]' && py 'd["error"]["code"] == "queue_full"'
say $? "more than the queue holds"
kill "${full[@]}"; wait "${full[@]}" 2> /dev/null
! grep -q 'capital' "$dir/server.err" && grep '^{' "$dir/server.err" | head -n 3 | python3 -c 'import json,sys; [json.loads(line) for line in sys.stdin]'
say $? "logs are JSON and hold no prompt"
stop
say $? "ends well"
printf 'half a li\n' > "$dir/keys"
refuses 1 "keys: line 1|sha256sum" "$CRIA" serve -q -m "$model" -c 256 --port 0 --keys "$dir/keys"
say $? "a broken key file at the start"

# ---- options from a file ----
start --config "$root/examples/deploy/cria.toml" --parallel 2 && grep -q '2 answers at once' "$dir/server.err" && get /v1/models && grep -q '^{"time":' "$dir/server.err" && stop
say $? "options from a file, below those of the command line"
printf 'parallel = 16\npoort = 1\n' > "$dir/bad.toml"
refuses 2 'bad.toml: line 2, column 1: unknown key "poort"; did you mean "port"' "$CRIA" serve --config "$dir/bad.toml"
say $? "a key that does not exist"

# ---- a log that cannot be written ----
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$CRIA" serve -m "$model" -c 256 --port "$port" 2> /dev/full &
pid=$!
url=http://127.0.0.1:$port
for _ in $(seq 100); do get /health && [ "$status" = 200 ] && break; sleep 0.1; done
post /v1/chat/completions "{$question,\"max_tokens\":2}" && [ "$status" = 200 ] && py 'd["usage"]["completion_tokens"] == 2' && stop
say $? "the disk of the log is full: it answers on"

# ---- TLS ----
if command -v openssl > /dev/null; then
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$dir/key.pem" -out "$dir/cert.pem" -days 2 \
		-subj /CN=localhost -addext 'subjectAltName=IP:127.0.0.1' 2> /dev/null
	start --tls-cert "$dir/cert.pem" --tls-key "$dir/key.pem" && case $url in https://*) ;; *) false ;; esac &&
		post /v1/chat/completions "{$question,\"max_tokens\":16,\"stream\":true}" --cacert "$dir/cert.pem" && as_stream && py 'd["text"] == "The capital of France is Paris."' &&
		{ get /health --cacert "$dir/cert.pem" --tls-max 1.1 || true; } && [ "$status" = 000 ] && stop
	say $? "TLS"
	refuses 2 "--tls-key" "$CRIA" serve -q -m "$model" -c 256 --port 0 --tls-cert "$dir/cert.pem"
	say $? "a certificate without its key"
else
	skip "TLS" "openssl is not here"
fi
plan
