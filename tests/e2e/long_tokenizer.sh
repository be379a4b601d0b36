#!/bin/bash
# long_tokenizer.sh - a million random strings get the ids of tiktoken, and 100,000 those of SentencePiece
# (tests/oracle/tokenizer_fuzz.py). Needs a Python with both: $CRIA_ORACLE_PYTHON, else python3.
. "$(dirname "$0")/tap.bash"

python=${CRIA_ORACLE_PYTHON:-python3}
compare() { # REFERENCE MODULE VOCAB N
	if [ ! -f "$data/tokenizer/$3" ]; then skip "$1" "tokenizer/$3 is not here"; return; fi
	if ! "$python" -c "import $2" 2> /dev/null; then skip "$1" "$python has no $2"; return; fi
	run "$python" "$root/tests/oracle/tokenizer_fuzz.py" -n "$4" "$1" "$data/tokenizer/$3" -- \
		"$CRIA" tokenize -m "$data/tokenizer/$3" --jsonl
	say $? "$(tail -n 1 "$dir/out")"
}
compare tiktoken tiktoken llama3-tokenizer.model "${STRINGS:-1000000}"
compare sentencepiece sentencepiece llama2-tokenizer.model 100000
plan
