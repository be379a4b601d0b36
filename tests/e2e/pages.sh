#!/bin/bash
# pages.sh - help, man pages and completion of every command are there and in order.
. "$(dirname "$0")/tap.bash"

commands=$("$CRIA" help --names)
for c in $commands; do
	run "$CRIA" "$c" --help && grep -q '^usage: cria' "$dir/out" && [ ! -s "$dir/err" ]
	say $? "$c --help"
	[ -f "$root/docs/$c.md" ] || [ "$c" = detokenize ] || [ "$c" = help ] || [ "$c" = version ]
	say $? "docs/$c.md is there"
done
if command -v mandoc > /dev/null; then
	for c in "" $commands; do
		"$CRIA" help --man $c > "$dir/page.1"
		run mandoc -Tlint -Wwarning "$dir/page.1"
		say $? "man page ${c:-cria}"
	done
else
	skip "man pages" "mandoc is not here"
fi
run "$CRIA" help --completion bash && run bash -n "$dir/out"
say $? "bash completion parses"
cat > "$dir/try" <<-'TRY'
	. "$1"
	COMP_WORDS=(cria generate --min); COMP_CWORD=2; _cria; echo "${COMPREPLY[*]}"
	COMP_WORDS=(cria gene); COMP_CWORD=1; _cria; echo "${COMPREPLY[*]}"
	COMP_WORDS=(cria quantize --type q4_k_); COMP_CWORD=3; _cria; echo "${COMPREPLY[*]}"
TRY
"$CRIA" help --completion bash > "$dir/complete"
run bash "$dir/try" "$dir/complete"
[ "$(tr '\n' ' ' < "$dir/out")" = "--min-p generate q4_k_m q4_k_s " ]
say $? "bash completes options, commands and values"

DESTDIR="$dir/root" run meson install -C "$(dirname "$CRIA")" --no-rebuild --tags man
man=$(find "$dir/root" -name 'cria-quantize.1')
[ -s "$man" ] && [ -s "$(find "$dir/root" -name cria.fish)" ] && [ -s "$(find "$dir/root" -name _cria)" ]
say $? "make install brings pages and completion"

refuses 2 'unknown command "generat"|generate' "$CRIA" generat
say $? "the nearest command is offered"
refuses 2 "unknown option --temo|--temp" "$CRIA" generate --temo 1
say $? "the nearest option is offered"
run "$CRIA" --version && grep -q '^cria [0-9]' "$dir/out"
say $? "--version"
run "$CRIA"
[ $? = 2 ] && grep -q usage "$dir/err"
say $? "no command: usage and 2"
run bash -c "'$CRIA' version > /dev/full"
[ $? = 1 ] && grep -q "standard output" "$dir/err"
say $? "a full disk under stdout is told"
plan
