#!/bin/bash
# library.sh - libcria as a stranger would use it: installed into a directory of its own, found by
# pkg-config, linked shared and static, with nothing exported but cria_*. Prints TAP.
. "$(dirname "$0")/tap.bash"

build=$(dirname "$CRIA")
dest=$dir/installed

run env DESTDIR="$dest" meson install -C "$build" --no-rebuild --tags devel,runtime
say $? "installs"
so=$(find "$dest" -name 'libcria.so' | head -n 1)
lib=$(dirname "${so:-/}")
header=$(find "$dest" -name cria.h)
export PKG_CONFIG_PATH=$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dest LD_LIBRARY_PATH=$lib

nm -D --defined-only "$so" > "$dir/out" 2>&1
grep -q ' cria_generate@@CRIA_0.1$' "$dir/out"
say $? "symbols carry their version"
[ -z "$(awk '$3 !~ /^cria_/ && $3 != "CRIA_0.1"' "$dir/out")" ] && [ -s "$dir/out" ]
say $? "exports nothing but cria_*"
run bash -c "readelf -d '$so' | grep -q 'soname: .libcria.so.0.'"
say $? "soname is libcria.so.0"
run cc -x c -std=c99 -pedantic-errors -Wall -Wextra -Werror -fsyntax-only "$header"
say $? "the header is C99"
run c++ -x c++ -Wall -Wextra -Werror -fsyntax-only "$header"
say $? "the header is C++"

# A library built with sanitizers wants a program that is, too.
san=
nm -D "$so" | grep -q __asan_init && san=-fsanitize=address,undefined
for kind in shared static; do
	libs=$(pkg-config --libs cria)
	[ $kind = static ] && libs=$(pkg-config --static --libs cria | sed 's/-lcria\b/-l:libcria.a/')
	for example in chat score; do
		program=$dir/$example-$kind
		run cc -std=gnu17 -Wall -Wextra -Werror $san "$root/examples/$example.c" -o "$program" \
			$(pkg-config --cflags cria) $libs -lm
		say $? "$example builds $kind"
		if [ ! -f "$model" ]; then
			skip "$example runs $kind" "the default model is not here"
		elif [ $example = chat ]; then
			echo "What is the capital of France?" | run "$program" "$model" && grep -q . "$dir/out"
			say $? "chat runs $kind"
		else
			run "$program" "$model" "The cat sat on the mat." && grep -q '^perplexity [0-9]' "$dir/out"
			say $? "score runs $kind"
		fi
	done
done
refuses 1 "/nowhere/model.gguf" "$dir/score-shared" /nowhere/model.gguf text
say $? "a missing model is one line and exit 1"
plan
