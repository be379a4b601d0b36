#!/bin/bash
# long_soak.sh - random traffic for an hour (CRIA_SOAK_S: seconds): no request is lost, memory is flat. Needs the
# default model and curl.
. "$(dirname "$0")/tap.bash"
. "$(dirname "$0")/serve.bash"

start --parallel 8 --drain 5
say $? "listens"
python3 "$root/tests/tools/soak.py" "${url#*//}" "${CRIA_SOAK_S:-3600}" > "$dir/out" 2> "$dir/err"
rc=$?
sed 's/^/# /' "$dir/out"
[ $rc = 0 ] && py 'd["requests"] > 20 and d["lost"] == 0'
say $? "no request is lost"
py 'd["growth_mb"] < 0.03 * d["resident_mb_by_quarter"][1]'
say $? "resident memory is flat: the last quarter is within 3 % of the second"
until_metric cria_requests_running 0 && until_metric cria_requests_waiting 0 && until_metric cria_connections 1
say $? "nothing is left over"
stop
say $? "ends well"
plan
