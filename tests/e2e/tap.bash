# tap.bash - what the test scripts share: TAP lines, a scratch folder, the program and the model.
# Source it; it sets $root, $CRIA, $model (may not exist), $dir (removed at the end) and $n.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CRIA=${CRIA:-$root/build/cria}
model=${CRIA_MODEL:-${XDG_CACHE_HOME:-$HOME/.cache}/cria/models/SmolLM2-135M-Instruct.Q4_1.gguf}
unset CRIA_MODEL
data=${CRIA_DATA:-$root/../shared/data}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0

# say RC NAME: one TAP line; a failure shows what the last `run` printed.
say() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else
		echo "not ok $n - $2"
		head -c 4000 "$dir/out" "$dir/err" 2> /dev/null | sed 's/^/# /'
	fi
}
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; echo "# skipped: $2"; }
plan() { echo "1..$n"; }
# retell FILE: lines "ok WHAT" and "not ok WHAT" of another program count as ours.
retell() {
	local line
	while IFS= read -r line; do
		case $line in
		"ok "*) say 0 "${line#ok }" ;;
		"not ok "*) say 1 "${line#not ok }" ;;
		*) echo "# $line" ;;
		esac
	done < "$1"
}

# run COMMAND...: stdout to $dir/out, stderr to $dir/err, status returned.
run() { "$@" > "$dir/out" 2> "$dir/err"; }

# refuses STATUS "PART|PART" COMMAND...: it ends with this status, prints nothing on stdout and one
# line on stderr that has all the parts.
refuses() {
	local status=$1 parts=$2 part rc
	shift 2
	run "$@"
	rc=$?
	[ $rc = "$status" ] || { echo "# exit status $rc instead of $status"; return 1; }
	[ -s "$dir/out" ] && { echo "# wrote to stdout"; return 1; }
	[ "$(wc -l < "$dir/err")" = 1 ] || { echo "# not one line on stderr"; return 1; }
	while [ -n "$parts" ]; do
		part=${parts%%|*}
		[ "$part" = "$parts" ] && parts= || parts=${parts#*|}
		grep -qF -- "$part" "$dir/err" || { echo "# stderr does not say: $part"; return 1; }
	done
}

# py EXPRESSION: true if the Python expression over d, the JSON in $dir/out, is true.
py() { python3 -c "import json,sys; d=json.load(open(sys.argv[1])); sys.exit(not ($1))" "$dir/out" 2>> "$dir/err"; }
