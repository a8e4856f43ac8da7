#!/usr/bin/env bash
# Evaluate a pretrained backbone with several processes on this node, one a GPU (without GPUs: on the CPU).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_launch.sh"

[ $# -ge 2 ] || usage "usage: $0 CHECKPOINT GPUS [arguments of evaluate.py, further checkpoints among them]" \
    'environment: NNODES, NODE_RANK, MASTER_ADDR, PORT (several nodes), PYTHON'
run_distributed "$2" evaluate.py "$1" "${@:3}"
