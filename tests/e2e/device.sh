#!/bin/bash
# device.sh - --device: what is refused everywhere; on a machine with a GPU, that it answers and predicts as
# the processor does. Needs the default model.
. "$(dirname "$0")/tap.bash"
[ -f "$model" ] || { skip "a model on a GPU" "the default model is not here"; plan; exit; }
on_gpu=(--device cuda:0)

refuses 2 "--device|cuda:8|cuda:0" "$CRIA" generate -q -m "$model" -p hi --device cuda:8
say $? "a device that is none is a usage error"
for o in --repack --huge-pages --pin; do
	refuses 2 "$o: is for the cpu|--device" "$CRIA" generate -q -m "$model" -p hi "${on_gpu[@]}" $o
	say $? "$o and a GPU do not go together"
done
run "$CRIA" generate -q -m "$model" -p hi -n 1 --device cpu
say $? "--device cpu is the processor"

if ! run "$CRIA" generate -q -m "$model" -p hi -n 1 "${on_gpu[@]}"; then
	[ "$(wc -l < "$dir/err")" = 1 ] && grep -q -- '--device: .*\(NVIDIA driver\|without kernels for GPUs\|cuda:0\)' "$dir/err"
	say $? "without a GPU one line says what is missing"
	skip "a model on a GPU" "$(cut -c1-150 "$dir/err")"
	plan
	exit
fi
head -c 4000 "$root/README.md" > "$dir/text"
for kv in f16 bf16 q8_0; do
	"$CRIA" perplexity -q -m "$model" -f "$dir/text" --json --kv $kv > "$dir/cpu"
	"$CRIA" perplexity -q -m "$model" -f "$dir/text" --json --kv $kv "${on_gpu[@]}" > "$dir/gpu" &&
		python3 -c "import json,sys; a,b=(json.load(open(f))['perplexity'] for f in sys.argv[1:]); print('#',a,b); sys.exit(abs(a/b-1) > 0.005)" "$dir/cpu" "$dir/gpu"
	say $? "the same perplexity within 0.5 %, cache in $kv"
done
for i in 1 2; do "$CRIA" generate -q -m "$model" -p "What is a llama?" -n 24 --temp 0 "${on_gpu[@]}" > "$dir/gpu$i"; done
[ "$(wc -w < "$dir/gpu1")" -gt 8 ] && cmp -s "$dir/gpu1" "$dir/gpu2"
say $? "an answer, and the same again"
refuses 1 "observed|--device" "$CRIA" imatrix -q -m "$model" -f "$dir/text" "$dir/imatrix" "${on_gpu[@]}"
say $? "imatrix says that it is for the cpu"
plan
