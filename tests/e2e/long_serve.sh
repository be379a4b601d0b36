#!/bin/bash
# long_serve.sh - serve_running.sh with 1,000 clients that leave instead of 50.
CRIA_CANCELS=1000 exec bash "$(dirname "$0")/serve_running.sh"
