#!/bin/bash
# index_vectors.sh - cria index --vectors and cria search --vectors with the default model.
. "$(dirname "$0")/tap.bash"

[ -f "$model" ] || { skip "vectors" "needs the default model"; plan; exit; }
db=$dir/v.db
mkdir "$dir/notes"
echo 'The ferry to the island leaves at noon on weekdays.' > "$dir/notes/ferry.txt"
echo 'Backups of the server are made each night at two.' > "$dir/notes/backup.txt"
echo 'Bread is baked from flour, water, salt and yeast.' > "$dir/notes/bread.txt"

run "$CRIA" index "$db" "$dir/notes" && refuses 2 "holds no vectors|--vectors" "$CRIA" search "$db" x --vectors -m "$model" -q
say $? "an index without vectors is said to be one"
run "$CRIA" index "$db" --vectors -m "$model" --json && py 'd["vectors"] == 3 and d["unchanged"] == 3'
say $? "each passage gets a vector"
run "$CRIA" search "$db" 'qqxz' --vectors -m "$model" --json && py 'len(d) == 3 and all(p["rank_words"] == 0 for p in d) and sorted(p["rank_vectors"] for p in d) == [1, 2, 3]'
say $? "a question without a word of the documents finds what is nearest"
run "$CRIA" search "$db" 'Bread is baked from flour, water, salt and yeast.' --vectors -m "$model" --json &&
	py 'd[0]["path"].endswith("bread.txt") and d[0]["rank_words"] == 1 and d[0]["rank_vectors"] == 1 and abs(d[0]["score"] - 2 / 61) < 1e-6'
say $? "what both lists name first is first, with its score by reciprocal ranks"
run "$CRIA" search "$db" ferry --json && py 'len(d) == 1 and d[0]["rank_words"] == 1 and d[0]["rank_vectors"] == 0'
say $? "without --vectors words decide alone"
echo 'Bread is baked from rye.' > "$dir/notes/bread.txt"; rm "$dir/notes/ferry.txt"
run "$CRIA" index "$db" --json && py 'd["changed"] == 1 and d["vectors"] == 1'
say $? "vectors go with their passages"
run "$CRIA" index "$db" --vectors -m "$model" --json && py 'd["vectors"] == 2'
say $? "and only new passages get theirs"
sql() { python3 -c 'import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()' "$db" "$1"; }
sql "INSERT INTO vectors VALUES(77777, (SELECT vector FROM vectors LIMIT 1)), (77778, x'00'), (77779, zeroblob(0))"
run "$CRIA" search "$db" rye --vectors -m "$model" --json && py 'len(d) == 2 and d[0]["path"].endswith("bread.txt")'
say $? "vectors without a passage, and of a wrong length, are passed over"
sql "UPDATE settings SET value = '0000000000000001 mean 576' WHERE key = 'vectors'"
refuses 2 "another model|-m" "$CRIA" search "$db" rye --vectors -m "$model" -q
say $? "vectors of another model are refused"
run "$CRIA" index "$db" --vectors -m "$model" --json && py 'd["vectors"] == 2' && run "$CRIA" search "$db" rye --vectors -m "$model" --json && py 'len(d) == 2'
say $? "and made anew"
plan
