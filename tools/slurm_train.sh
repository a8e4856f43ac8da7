#!/usr/bin/env bash
# Train under Slurm, one task a GPU.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_launch.sh"

[ $# -ge 4 ] || usage "usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [arguments of train.py]" \
    'environment: GPUS (8), GPUS_PER_NODE (8 or fewer), CPUS_PER_TASK (5), SRUN_ARGS (split at blanks), PYTHON'
run_slurm "$1" "$2" train.py "$3" --work-dir "$4" "${@:5}"
