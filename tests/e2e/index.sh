#!/bin/bash
# index.sh - cria index and search: what a person does with them, and what can go wrong.
. "$(dirname "$0")/tap.bash"

db=$dir/notes.db
mkdir -p "$dir/notes/sub" "$dir/notes/.git"
printf '# The bridge\n\nThe bridge was built in 1874 by the Northern Railway.\n' > "$dir/notes/bridge.md"
printf 'Backups are made each night at two.\n' > "$dir/notes/sub/ops.txt"
printf 'int backups_kept = 30;\n' > "$dir/notes/sub/keep.c"
printf 'secret backups\n' > "$dir/notes/.git/x.txt"
head -c 1000 /dev/zero > "$dir/notes/zero.dat"

run "$CRIA" index "$db" "$dir/notes" && grep -q '3 added.*1 binary' "$dir/err" && [ ! -s "$dir/out" ]
say $? "a directory is indexed"
run "$CRIA" index "$db" --json && py 'd["unchanged"] == 3 and d["added"] == 0 and d["documents"] == 3'
say $? "a second run, without sources, finds nothing to do"
run "$CRIA" search "$db" 'when was the bridge built' --json && py 'len(d) == 1 and "Northern" in d[0]["text"] and d[0]["title"] == "The bridge" and d[0]["path"].endswith("/notes/bridge.md")'
say $? "a question finds its passage"
run "$CRIA" search "$db" backups && grep -q 'sub/ops.txt, bytes 0-35' "$dir/out" && ! grep -q secret "$dir/out"
say $? "hidden directories are not indexed; places are printed"
rm "$dir/notes/bridge.md"; echo 'Backups are made at noon.' > "$dir/notes/sub/ops.txt"
run "$CRIA" index "$db" --json && py 'd["changed"] == 1 and d["removed"] == 1'
say $? "changed and removed files are followed"
run "$CRIA" index "$db" --list && [ "$(wc -l < "$dir/out")" = 2 ]
say $? "--list"
run "$CRIA" index "$db" --remove "$dir/notes" && run "$CRIA" index "$db" --list && [ ! -s "$dir/out" ]
say $? "--remove forgets a source"
run "$CRIA" search "$db" anything && [ ! -s "$dir/out" ] && grep -q 'no passage' "$dir/err"
say $? "nothing found is said"

# Killed in the middle, whatever was committed is there and the rest follows.
mkdir "$dir/many"
for i in $(seq 1 400); do echo "document number $i is about thing$i" > "$dir/many/$i.txt"; done
for wait in 0.01 0.03 0.05; do
	{ timeout -s KILL $wait "$CRIA" index "$db" "$dir/many"; } > /dev/null 2>&1
done 2> /dev/null
run "$CRIA" index "$db" "$dir/many" --json && py 'd["documents"] == 400 and d["failed"] == 0'
say $? "a run that was killed can be repeated"
run "$CRIA" search "$db" thing377 --json && py 'len(d) == 1'
say $? "and the index is whole"

echo text > "$dir/plain.txt"
refuses 1 "plain.txt|is no index" "$CRIA" index "$dir/plain.txt" "$dir/many"; say $? "a text is no index"
refuses 1 "no such index" "$CRIA" search "$dir/none.db" x; say $? "a search needs an index"
refuses 1 "no such file" "$CRIA" index "$db" "$dir/nowhere"; say $? "a source must exist"
refuses 2 "nothing to index" "$CRIA" index "$dir/new.db" && [ ! -e "$dir/new.db" ]; say $? "a new index needs a source"
refuses 2 "nothing of that name" "$CRIA" index "$db" --remove /nowhere; say $? "--remove needs a source"
plan
