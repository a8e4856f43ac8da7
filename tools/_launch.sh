# Sourced by the launchers beside it: where things are, and which Python runs them.
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"

# $PYTHON, else that of the active environment, else that of the environment which `make` sets up.
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python
    if [ -z "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && [ -x "$tools/../.venv/bin/python" ]; then
        PYTHON=$tools/../.venv/bin/python
    fi
fi

usage() { # usage LINE...
    printf '%s\n' "$@" >&2
    exit 2
}

# run_distributed GPUS TOOL ARGS...: so many processes of a tool on this node. A single node picks a free port, so that
# several runs can share it; PORT, or more than one node, gives the fixed meeting point that mm* use. What MAX_RESTARTS
# and GRACE do is in _torchrun.py. It replaces the shell, so that signals come to it.
run_distributed() {
    local gpus=$1 tool=$2 meeting
    shift 2
    if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
        meeting=(--standalone)
    else
        meeting=(--nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}"
            --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}")
    fi
    exec "$PYTHON" -m mmdclpp.apis._torchrun "${meeting[@]}" --nproc-per-node="$gpus" \
        "$tools/$tool" "$@" --launcher pytorch
}

# run_slurm PARTITION JOB_NAME TOOL ARGS...: $GPUS tasks of a tool.
run_slurm() {
    local partition=$1 job=$2 tool=$3 gpus=${GPUS:-8}
    local per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
    shift 3
    # SRUN_ARGS holds several arguments: unquoted, it splits.
    exec srun --partition="$partition" --job-name="$job" --gres="gpu:$per_node" --ntasks="$gpus" \
        --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
        "$PYTHON" -u "$tools/$tool" "$@" --launcher slurm
}

# run_slurm_again WORK_DIR PARTITION JOB_NAME TOOL ARGS...: run_slurm, and the same again after SIGUSR1, by which Slurm
# says that the time is up, or up to $MAX_RESTARTS times after a failure. SIGTERM is left to Slurm, which by itself
# requeues a job that had to give way, and does not want back one that was cancelled. The tool sees SLURM_RESTART_COUNT.
run_slurm_again() {
    local note status
    mkdir -p "$1"
    note=$(cd "$1" && pwd)/.preempted
    shift
    export MMDCLPP_PREEMPTED_NOTE=$note
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        trap : TERM USR1 # the shell of a batch job stays until all is saved; sbatch says what signal it gets, and when
    else
        SRUN_ARGS="--signal=USR1@${GRACE:-120} ${SRUN_ARGS:-}"
    fi
    while :; do
        rm -f "$note"
        status=0
        (run_slurm "$@") || status=$?
        # Of its tasks, srun gives the highest status: another one if it ended some before they could themselves.
        [ ! -e "$note" ] || status=75
        case $status in
            0 | 2 | 130) exit "$status" ;;
            75) grep -q SIGUSR1 "$note" || exit "$status" ;;
            *) [ "${SLURM_RESTART_COUNT:-0}" -lt "${MAX_RESTARTS:-0}" ] || exit "$status" ;;
        esac
        rm -f "$note"
        if [ -n "${SLURM_JOB_ID:-}" ]; then
            scontrol requeue "$SLURM_JOB_ID" || echo 'error: the job is not queued again: sbatch --requeue' >&2
            exit "$status"
        fi
        export SLURM_RESTART_COUNT=$((${SLURM_RESTART_COUNT:-0} + 1))
    done
}
