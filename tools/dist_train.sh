#!/usr/bin/env bash
# Train with several processes on this node, one a GPU (without GPUs: on the CPU).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_launch.sh"

[ $# -ge 2 ] || usage "usage: $0 CONFIG GPUS [arguments of train.py]" \
    'environment: NNODES, NODE_RANK, MASTER_ADDR, PORT (several nodes), PYTHON,' \
    'MAX_RESTARTS (0: after failures), GRACE (120: seconds to save in when told to end)'
run_distributed "$2" train.py "$1" "${@:3}"
