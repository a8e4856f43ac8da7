#!/usr/bin/env bash
# Evaluate with several processes on this node, one a GPU (without GPUs: on the CPU).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_launch.sh"

[ $# -ge 3 ] || usage "usage: $0 CONFIG CHECKPOINT GPUS [arguments of test.py]" \
    'environment: NNODES, NODE_RANK, MASTER_ADDR, PORT (several nodes), PYTHON'
run_distributed "$3" test.py "$1" "$2" "${@:4}"
