#!/usr/bin/env bash
# Train under Slurm, one task a GPU. A run whose time is up goes on in a new job, or in a batch job is queued again.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_launch.sh"

[ $# -ge 4 ] || usage "usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [arguments of train.py]" \
    'environment: GPUS (8), GPUS_PER_NODE (8 or fewer), CPUS_PER_TASK (5), SRUN_ARGS (split at blanks), PYTHON,' \
    'GRACE (120: seconds before the end to save in), MAX_RESTARTS (0: after failures)'
run_slurm_again "$4" "$1" "$2" train.py "$3" --work-dir "$4" "${@:5}"
