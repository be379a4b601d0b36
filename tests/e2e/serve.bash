# serve.bash - what the server's test scripts share; sourced behind tap.bash. Skips the script when it
# cannot run.
if [ ! -f "$model" ] || ! command -v curl > /dev/null; then
	skip "cria serve" "the default model or curl is not here"
	plan
	exit 0
fi
unset http_proxy https_proxy all_proxy
probe=$root/tests/tools/http_probe.py
probe() { python3 "$probe" "${url#*//}" "$@"; }

# start OPTIONS...: a server of `what`; sets pid and url. stop: ends it, returns its exit status.
what=(-m "$model" -c 2048)
start() {
	rm -f "$dir/server.err"
	"$CRIA" serve "${what[@]}" --port 0 "$@" > "$dir/server.out" 2> "$dir/server.err" &
	pid=$!
	for _ in $(seq 300); do
		grep -qs '^listening on' "$dir/server.err" && break
		kill -0 $pid 2> /dev/null || break
		sleep 0.1
	done
	url=$(sed -n 's/^listening on //p' "$dir/server.err")
	[ -n "$url" ]
}
stop() { kill -TERM $pid; wait $pid; }
trap 'kill $pid 2> /dev/null; rm -rf "$dir"' EXIT

# get PATH [CURL OPTIONS]; post PATH BODY [CURL OPTIONS]: body to $dir/out, headers to $dir/head, status
# to $status.
get() { local p=$1; shift; status=$(curl -s -m 300 -D "$dir/head" -o "$dir/out" -w '%{http_code}' "$@" "$url$p"); }
post() { local p=$1 b=$2; shift 2; get "$p" -d "$b" "$@"; }
header() { grep -qi "^$1" "$dir/head"; }
metric() { curl -s -m 10 "$url/metrics" | sed -n "s/^$1 //p"; }
# until_metric NAME VALUE: within 30 s, which sanitizers on a slow machine may take.
until_metric() {
	for _ in $(seq 300); do [ "$(metric "$1")" = "$2" ] && return 0; sleep 0.1; done
	echo "# $1 is $(metric "$1"), not $2"
	return 1
}
question='"messages":[{"role":"system","content":"Answer the question correctly."},{"role":"user","content":"What is the capital of France?"}],"temperature":0'

# as_stream: turns the events in $dir/out into an object of them all.
cat > "$dir/stream.py" <<-'PY'
	import json, sys
	lines = [line[6:] for line in open(sys.argv[1]).read().split("\n") if line.startswith("data: ")]
	events = [json.loads(line) for line in lines[:-1]]
	choices = [c for e in events for c in e["choices"]]
	key = "delta" if "delta" in choices[0] else "text"
	text = "".join(c["delta"].get("content", "") if key == "delta" else c["text"] for c in choices if c["index"] == 0)
	d = {"done": lines[-1] == "[DONE]", "events": events, "text": text, "first": choices[0],
	     "finish": [c["finish_reason"] for c in choices if c["finish_reason"]]}
	json.dump(d, open(sys.argv[2], "w"))
PY
as_stream() { cp "$dir/out" "$dir/sse" && python3 "$dir/stream.py" "$dir/sse" "$dir/out"; }
