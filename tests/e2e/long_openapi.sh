#!/bin/bash
# long_openapi.sh - serve_openapi.sh with many more requests of schemathesis, other ones each day.
CRIA_EXAMPLES=150 CRIA_SEED=$(date +%j) exec bash "$(dirname "$0")/serve_openapi.sh"
