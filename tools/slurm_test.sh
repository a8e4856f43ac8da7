#!/usr/bin/env bash
# Evaluate under Slurm, one task a GPU.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_launch.sh"

[ $# -ge 4 ] || usage "usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of test.py]" \
    'environment: GPUS (8), GPUS_PER_NODE (8 or fewer), CPUS_PER_TASK (5), SRUN_ARGS (split at blanks), PYTHON'
run_slurm "$1" "$2" test.py "$3" "$4" "${@:5}"
