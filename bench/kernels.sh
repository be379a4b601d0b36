#!/bin/sh
# kernels.sh BUILD [OPTIONS] - every operator and variant against the measured limits of this
# machine (tests/tensor/bench_kernels.c); options: -t THREADS -v VARIANT -w TYPE
# -o decode|prefill|attention|rows.
build=${1:-build}
[ $# -gt 0 ] && shift
exec "$build/tests/tensor/bench_kernels" "$@"
