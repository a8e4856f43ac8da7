#!/usr/bin/env bash
# Evaluate a pretrained backbone under Slurm, one task a GPU.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_launch.sh"

[ $# -ge 3 ] || usage "usage: $0 PARTITION JOB_NAME CHECKPOINT [arguments of evaluate.py]" \
    'environment: GPUS (8), GPUS_PER_NODE (8 or fewer), CPUS_PER_TASK (5), SRUN_ARGS (split at blanks), PYTHON'
run_slurm "$1" "$2" evaluate.py "$3" "${@:4}"
