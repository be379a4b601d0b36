#!/bin/bash
# chat.sh - `cria chat` with the default model: from pipes, and at a pseudo-terminal (chat_pty.py).
# Prints TAP.
. "$(dirname "$0")/tap.bash"

# chat INPUT OPTION...: INPUT by printf; sets rc, out and err
chat() {
	local input=$1
	shift
	printf "$input" | "$CRIA" chat -m "$model" --temp 0 "$@" > "$dir/out" 2> "$dir/err"
	rc=$?
}
out() { grep -qE -- "$1" "$dir/out"; }
err() { grep -qE -- "$1" "$dir/err"; }
# messages FILE: what is in a saved conversation, a message a line
messages() { python3 -c 'import json,sys; [print(m["role"], repr(m["content"])) for m in json.load(open(sys.argv[1]))["messages"]]' "$1"; }

refuses 1 none.gguf "$CRIA" chat -m "$dir/none.gguf"
say $? "a missing model is one line and exit 1"
refuses 2 "did you mean --temp" "$CRIA" chat --tmep 1
say $? "a wrong option is exit 2"
if [ ! -f "$model" ]; then
	skip "chat" "the default model is not here"
	plan
	exit 0
fi

refuses 2 "512 threads|physical core|--pin" "$CRIA" chat -q -m "$model" --pin -t 512
say $? "more threads than cores cannot be pinned"
chat ''
[ $rc = 0 ] && err '^> What is the capital of France' && out Paris && err 'tokens/s'
say $? "nothing on stdin: a question for demonstration is shown and answered"
chat 'What is the capital of France?\n' --quiet
[ $rc = 0 ] && out Paris && [ ! -s "$dir/err" ]
say $? "quiet: the answer and nothing else"
! grep -q "$(printf '\033')" "$dir/out"
say $? "no colours in a pipe"
printf 'What is the capital of France?' | "$CRIA" chat -m "$model" > "$dir/out" 2> "$dir/err"
[ $? = 0 ] && out Paris
say $? "a line without its newline, default sampling"
chat '\n  \n\n'
[ $rc = 0 ] && [ ! -s "$dir/out" ]
say $? "blank lines ask nothing"

chat 'My name is Ada.\nWhat is my name?\n' -n 30 --show-prompt
[ $rc = 0 ] && [ "$(grep -c 'tokens/s' "$dir/err")" = 2 ] && grep 'What' "$dir/err" | grep -q 'Ada'
say $? "lines are turns of one conversation"
grep 'tokens/s' "$dir/err" | tail -n 1 | grep -qE 'read [0-9]{1,2} \(and [1-9][0-9]+ cached\)'
say $? "a turn reads only what is new"
grep -qE '[0-9]+:"<\|im_start\|>"' "$dir/err"
say $? "--show-prompt shows token borders"
printf '%s\n' 'one \' 'two' "/save $dir/lines.json" | run "$CRIA" chat -m "$model" -n 4
messages "$dir/lines.json" | grep -qF "user 'one \ntwo'"
say $? "a line that ends in a backslash goes on"

chat "Hello\\n/system Be kind.\\nWho are you?\\n/save $dir/a.json\\n" -n 20 --system 'Be brief.'
[ $rc = 0 ] && [ "$(messages "$dir/a.json" | wc -l)" = 5 ] && messages "$dir/a.json" | head -n 1 | grep -q "system 'Be kind.'"
say $? "/system, /save"
chat "/load $dir/a.json\\n/save $dir/b.json\\n"
[ $rc = 0 ] && [ "$(messages "$dir/a.json")" = "$(messages "$dir/b.json")" ]
say $? "/load gives back what /save wrote"
chat "Tell me about Paris.\\n" -n 60 --state "$dir/s.json"
[ $rc = 0 ] && [ -s "$dir/s.json.kv" ] && [ "$(messages "$dir/s.json" | wc -l)" = 3 ]
say $? "--state keeps the conversation and its cache"
cp "$dir/s.json" "$dir/t.json"
chat "And Rome?\\n" -n 20 --state "$dir/s.json"
[ $rc = 0 ] && err '3 messages' && err 'read [0-9]{1,2} \(and [1-9][0-9]+ cached\)' && [ "$(messages "$dir/s.json" | wc -l)" = 5 ]
say $? "--state goes on without reading it again"
chat "And Rome?\\n" -n 20 --state "$dir/t.json"
[ $rc = 0 ] && err 'and 0 cached' && [ -s "$dir/t.json.kv" ]
say $? "--state reads the conversation where the cache file is gone"
head -c 100000 "$dir/s.json.kv" > "$dir/t.json.kv"
chat "And Berlin?\\n" -n 2 --state "$dir/t.json"
[ $rc = 0 ] && err 'warning: .*t.json.kv' && err 'and 0 cached'
say $? "a cache file that was cut is a warning"
echo '{' > "$dir/t.json"
refuses 1 t.json "$CRIA" chat -q -m "$model" --state "$dir/t.json" && [ "$(cat "$dir/t.json")" = "{" ]
say $? "a broken conversation is refused, and stays as it was"
chat "/load $dir/a.json\\n/reset\\n/save $dir/b.json\\n"
[ "$(messages "$dir/b.json")" = "system 'Be kind.'" ]
say $? "/reset keeps the system message"
echo '{"messages": [{"role": "robot", "content": "x"}]}' > "$dir/bad.json"
chat "/load $dir/bad.json\\nHello\\n" -n 4
[ $rc = 1 ] && err 'bad.json: message 0: the role "robot" is unknown' && [ -s "$dir/out" ]
say $? "a file that is none of ours is refused, and the chat goes on"
chat '/hlep\n/etc/hosts is what?\n' -n 4
[ $rc = 1 ] && err 'unknown command /hlep; did you mean /help' && [ -s "$dir/out" ]
say $? "an unknown command offers the nearest; a path is none"
chat '/set temp 9999\n/set tmep 1\n/set temp 0.5\n/set\n' 
[ $rc = 1 ] && err '--temp: 9999 is out of range' && err 'did you mean --temp' && err '^  temp +0.5 '
say $? "/set checks as the command line does"
chat 'Tell me a story.\n/regen\n' --temp 1 -s 5 -n 24
cp "$dir/out" "$dir/first"
chat 'Tell me a story.\n/regen\n' --temp 1 -s 5 -n 24
cmp -s "$dir/out" "$dir/first" && err '24 tokens'
say $? "a seed repeats the conversation"
chat 'Tell me a story.\n' --temp 1 -s 5 -n 24
[ $(($(wc -c < "$dir/first"))) -gt $(($(wc -c < "$dir/out"))) ] && ! grep -qF "$(tail -n 1 "$dir/first")" "$dir/out"
say $? "/regen gives another answer"

long=$(printf 'word %.0s' {1..100})
chat "$long\\nHello\\n" --ctx 64
[ $rc = 1 ] && err 'the context is full' && err '/reset' && err '--ctx [0-9]+' && [ -s "$dir/out" ]
say $? "a message too long for the context is refused with the remedies, and the chat goes on"
chat 'Write a long story about a dragon.\n' --ctx 64
[ $rc = 1 ] && err 'the context of 64 tokens is full' && err '/reset' && [ -s "$dir/out" ]
say $? "an answer that fills the context says so"
chat 'Tell me of cats.\nTell me of dogs.\nTell me of cows.\n' --ctx 128 -n 48 --context-shift
[ $rc = 0 ] && err 'old messages forgotten' && [ "$(grep -c 'tokens/s' "$dir/err")" = 3 ]
say $? "--context-shift forgets old turns and goes on"

# Between turns its threads sleep: at most two ticks of processor time (20 ms) in two seconds. On a busy machine the end
# of the turn may fall into the first window; one that spins takes its time in each.
ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }
mkfifo "$dir/stdin"
exec 5<> "$dir/stdin"
"$CRIA" chat -m "$model" --pin < "$dir/stdin" > "$dir/out" 2> "$dir/err" &
pid=$!
echo 'What is the capital of France?' >&5
for _ in $(seq 300); do err 'tokens/s' && break; sleep 0.1; done
for _ in $(seq 5); do
  before=$(ticks $pid)
  sleep 2
  after=$(ticks $pid)
  echo "# waiting for a line: $((after - before)) ticks in 2 s, $before before"
  [ $((after - before)) -le 2 ] && break
done
[ "$before" -gt 0 ] && [ $((after - before)) -le 2 ]
say $? "waiting for a line takes no processor time"
# The threads are bound, each elsewhere; the caller is bound only while a step runs.
cpus() { sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/$pid/task/*/status; }
err 'threads? pinned' && [ "$(cpus | sort -u | wc -l)" = "$(ls /proc/$pid/task | wc -l)" ]
say $? "--pin: each thread has a core of its own"
kill $pid
wait $pid 2> /dev/null
exec 5>&-

while IFS= read -r line; do
	: > "$dir/out"
	echo "$line" > "$dir/err"
	name=${line#* }
	case $line in
	PASS*) say 0 "terminal: $name" ;;
	*) say 1 "terminal: ${name%%:*}" ;;
	esac
done < <(python3 "$root/tests/e2e/chat_pty.py" "$CRIA" "$model" "$dir" 2>&1)
[ $n -gt 40 ]
say $? "the checks at the terminal ran to their end"
plan
