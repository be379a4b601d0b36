#!/bin/bash
# long_export.sh - what we export, read by the reference libraries (tests/oracle/export.py). Needs a
# Python with torch, transformers and gguf: $CRIA_ORACLE_PYTHON, else python3. Prints TAP.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${CRIA_ORACLE_PYTHON:-python3}
tool=$(dirname "${CRIA:-$root/build/cria}")/tests/model/export_tool
if ! "$python" -c 'import gguf, torch, transformers' 2> /dev/null; then
	echo "skipped: $python has no gguf, torch and transformers"
	echo "ok 1 - exports # SKIP no reference libraries"
	echo "1..1"
	exit 0
fi
export PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1
out=$("$python" "$root/tests/oracle/export.py" --check "$tool" "$root/tests/golden/model")
rc=$?
echo "$out"
[ $rc = 0 ] && ! echo "$out" | grep -q '^not ok'
