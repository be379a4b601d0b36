#!/bin/bash
# pull.sh - cria pull against a hub on this machine that has every bad habit (tests/tools/hub_server.py).
. "$(dirname "$0")/tap.bash"

mkfifo "$dir/stdin"
python3 "$root/tests/tools/hub_server.py" --log "$dir/log" < "$dir/stdin" > "$dir/address" &
exec 9> "$dir/stdin" # open while this script lives; the server ends with it
for _ in $(seq 100); do [ -s "$dir/address" ] && break; sleep 0.1; done
HF_ENDPOINT=$(cat "$dir/address")
export HF_ENDPOINT XDG_CACHE_HOME=$dir/cache HOME=$dir/home no_proxy=127.0.0.1,localhost
unset HF_TOKEN HF_TOKEN_PATH HF_HOME http_proxy https_proxy all_proxy
models=$XDG_CACHE_HOME/cria/models
pull() { run "$CRIA" pull "$@"; }
out_is() { [ "$(cat "$dir/out")" = "$1" ]; }
parts() { find "$dir/cache" -name '*.part*' 2> /dev/null | wc -l; }

pull --list && grep -q '^  llama-3.2-1b-instruct ' "$dir/out"
say $? "lists the names"
pull --list --json && py 'd[0]["repo"] is None and all(r["name"] and not r["is_here"] for r in d)'
say $? "lists them as JSON"
refuses 2 'which model?|--list' "$CRIA" pull
say $? "wants a name"
refuses 2 'did you mean smollm2-360m-instruct?' "$CRIA" pull smollm2-360m-instrct
say $? "offers the nearest name"
refuses 1 'make run|scripts/get-model' "$CRIA" pull smollm2-135m-instruct
say $? "the default model does not come from the hub"
mkdir -p "$models" && touch "$models/SmolLM2-135M-Instruct.Q4_1.gguf"
pull -q smollm2-135m-instruct && out_is "$models/SmolLM2-135M-Instruct.Q4_1.gguf"
say $? "but is found when it is here"

pull owner/tiny && out_is "$models/owner--tiny" && [ "$(ls "$models/owner--tiny" | wc -l)" = 12 ] &&
	[ ! -e "$models/owner--tiny/pytorch_model.bin" ] && [ "$(parts)" = 0 ]
say $? "fetches what a model needs, and says where it is"
pull owner/tiny --json && py 'd["fetched"] == 0 and d["bytes"] == 473390 and len(d["files"]) == 12' &&
	grep -q 'here already' "$dir/err"
say $? "fetches nothing twice"
printf x | dd of="$models/owner--tiny/config.json" bs=1 seek=5 conv=notrunc 2> /dev/null
pull owner/tiny --json && py 'd["fetched"] == 700'
say $? "mends a file that has changed, and only that"
pull owner/tiny -q --revision refs/pr/1 --to "$dir/there/x/" && out_is "$dir/there/x" && [ ! -s "$dir/err" ]
say $? "another revision, to another place, quietly"
refuses 1 'no such revision|--revision' "$CRIA" pull owner/tiny --revision nope
say $? "a revision that is not there"
pull --list owner/tiny && grep -q ' 300000  original/consolidated.00.pth$' "$dir/out"
say $? "lists a repository's files"
pull --list --json owner/paged && py 'len(d["files"]) == 18 and len(d["files"][11]["sha256"]) == 64'
say $? "all pages of it, as JSON"

refuses 2 'name one with :FILE|Tiny-Q8_0.gguf' "$CRIA" pull owner/gguf
say $? "GGUF files are to be named"
refuses 2 'did you mean :Tiny-Q8_0.gguf?' "$CRIA" pull owner/gguf:tiny-q8_0.gguf
say $? "offers the nearest file"
pull "owner/gguf:Tiny Q4 #1.gguf" && out_is "$models/Tiny Q4 #1.gguf" && [ -f "$models/Tiny Q4 #1.gguf" ]
say $? "a name with a space and a #"
pull owner/gguf:split/Big-00002-of-00002.gguf && out_is "$models/Big-00001-of-00002.gguf" &&
	[ -f "$models/Big-00002-of-00002.gguf" ]
say $? "all parts of a split GGUF"
refuses 2 'Hole-00002-of-00002.gguf is not there' "$CRIA" pull owner/gguf:Hole-00001-of-00002.gguf
say $? "unless one is missing"

run "$CRIA" pull owner/gated
[ $? = 1 ] && grep -q "(401); accept the licence at $HF_ENDPOINT/owner/gated and set HF_TOKEN" "$dir/err" &&
	[ "$(parts)" = 0 ]
say $? "a gated model without a token"
HF_TOKEN=wrong run "$CRIA" pull owner/gated
[ $? = 1 ] && grep -q '(403); accept the licence' "$dir/err"
say $? "and with a wrong one"
mkdir -p "$XDG_CACHE_HOME/huggingface" && echo secret > "$XDG_CACHE_HOME/huggingface/token"
pull owner/gated
say $? "the token that huggingface-cli left"
rm -r "$XDG_CACHE_HOME/huggingface"
HF_TOKEN=secret run "$CRIA" pull owner/moved
[ $? = 0 ] && [ "$(grep -c '^GET 127.0.0.1 /owner/moved/resolve.* token 302$' "$dir/log")" = 2 ] &&
	[ "$(grep -c '^GET localhost /cdn/owner/moved.* - 200$' "$dir/log")" = 2 ] &&
	! grep '^GET localhost' "$dir/log" | grep -q token
say $? "the token never goes to another host"
refuses 1 'no such repository|HF_TOKEN' "$CRIA" pull owner/nothere
say $? "a repository that is not there"

pull owner/cut && [ "$(grep -c 'cut; again in' "$dir/err")" = 6 ] &&
	grep 'owner/cut.*model-00001' "$dir/log" | grep -q 'bytes=262500- "[0-9a-f]*" - 206$'
say $? "goes on by Range and If-Range after cuts"
for repo in limit busy norange changed stale badrange; do
	pull owner/$repo && cmp "$models/owner--tiny/model-00001-of-00002.safetensors" \
		"$models/owner--$repo/model-00001-of-00002.safetensors" > "$dir/out" 2>&1
	say $? "comes right in the end: $repo"
done
for repo in wrong:SHA-256 page:'login page' dotdot:'safe path' control:'safe path' huge:'no size' \
	nospace:'are free at' badjson:JSON endless:pages loop:redirects down:'no HTTP address'; do
	run "$CRIA" pull -q "owner/${repo%%:*}"
	[ $? = 1 ] && [ "$(wc -l < "$dir/err")" = 1 ] && grep -q "${repo#*:}" "$dir/err" && [ ! -s "$dir/out" ] &&
		[ ! -e "$models/owner--${repo%%:*}" ] && [ "$(tr -d '[:print:]\n' < "$dir/err")" = "" ]
	say $? "is refused in one line: ${repo%%:*}"
done
[ "$(find "$dir" /tmp/evil.safetensors -name '*evil*' 2> /dev/null | wc -l)" = 0 ]
say $? "no hostile name became a file"

# A stop, a second process in the meantime, and the rest.
"$CRIA" pull owner/slow > "$dir/out" 2> "$dir/err" &
pid=$!
for _ in $(seq 100); do
	[ -s "$models/owner--slow.part/model-00001-of-00002.safetensors.part" ] && break
	sleep 0.1
done
refuses 1 'another process is fetching it' "$CRIA" pull -q owner/slow
say $? "two at a time is one too many"
kill -TERM $pid
wait $pid
[ $? = 1 ] && [ ! -e "$models/owner--slow" ] && [ -s "$models/owner--slow.part/model-00001-of-00002.safetensors.part" ]
say $? "stops when told to, and keeps what has come"
(cd "$models/owner--slow.part" && had=$(stat -c %s -- *.part) && cp "$models/owner--tiny"/model-00002* . &&
	run "$CRIA" pull owner/slow --json && [ "$(grep -c "owner/slow.*model-00001.* bytes=$had-" "$dir/log")" = 1 ])
say $? "and goes on from there"

pull owner/Meta-Llama-3-8B-Instruct && grep -q '"Built with Meta Llama 3".*"Llama 3"' "$dir/err" &&
	pull owner/Meta-Llama-3-8B-Instruct && ! grep -q 'Built with' "$dir/err"
say $? "reminds of the Llama 3 licence, once"
pull owner/Llama-3.2-1B-Instruct && grep -q '"Built with Llama"' "$dir/err"
say $? "and of the later ones"
HF_ENDPOINT=http://nowhere.invalid refuses 1 'no such host|network' "$CRIA" pull -q owner/tiny
say $? "no network"
HF_ENDPOINT=file:///etc refuses 2 'HF_ENDPOINT|no address' "$CRIA" pull owner/tiny
say $? "an endpoint that is none"
HF_TOKEN=$'a\nb' refuses 2 'HF_TOKEN' "$CRIA" pull owner/tiny
say $? "a token that is none"
plan
