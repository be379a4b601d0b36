#!/bin/sh
# long_neon.sh - the operator checker on emulated 64-bit ARM (tests/tensor/run-neon).
exec "$(dirname "$0")/../tensor/run-neon"
