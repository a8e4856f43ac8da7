"""Whether a launcher or a cluster has started this job anew."""

import os
from pathlib import Path

# In the environment: when a launcher first started this job's processes, in seconds since the epoch, and how often it
# has started them anew.
LAUNCHED = 'MMDCLPP_LAUNCHED'
RESTARTS = 'MMDCLPP_RESTARTS'


def restarts() -> int:
    """How often the processes of torchrun have been started anew, by ours (``tools/dist_train.sh``) or by itself."""
    return _number(RESTARTS) + _number('TORCHELASTIC_RESTART_COUNT')


def restarted(work_dir: str) -> bool:
    """Whether this job was started anew, by torchrun or by Slurm, and has saved a checkpoint before.

    What was there before ``tools/dist_train.sh`` was first started is of another job.

    Args:
        work_dir (str): Where the checkpoints are.
    """
    if _number('SLURM_RESTART_COUNT'):
        since = 0.0
    elif restarts():
        since = float(os.environ.get(LAUNCHED, 0))
    else:
        return False
    note = Path(work_dir, 'last_checkpoint')
    return note.is_file() and note.stat().st_mtime >= since


def _number(name: str) -> int:
    return int(os.environ.get(name) or 0)
