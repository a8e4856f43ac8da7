"""torchrun, without its traceback after an error that a tool has already explained, and with restarts that resume.

Run as ``python -m mmdclpp.apis._torchrun``, with torchrun's arguments. It exits with the status of the process that
failed first. Of the environment, ``MAX_RESTARTS`` is how often all processes are started anew after a failure (other
than a user's mistake), and ``GRACE`` for how many seconds they may save after a signal to this process, which is passed
on to them.
"""

import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.run import main

from mmdclpp.apis._cli import INTERRUPTED_STATUS, PREEMPTED_NOTE, PREEMPTED_STATUS, USER_ERROR_STATUS
from mmdclpp.utils.rank_watch import LOST_STATUS
from mmdclpp.utils.restarts import LAUNCHED, RESTARTS, restarts

# Those that torchrun passes on by itself, and Slurm's.
_SIGNALS = 'SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1'
_TOLD = (USER_ERROR_STATUS, LOST_STATUS, PREEMPTED_STATUS, INTERRUPTED_STATUS)


def _by_signal(number: int) -> int:
    """The exit status that shells give a process which a signal ended."""
    return INTERRUPTED_STATUS if number == signal.SIGINT else 128 + number


def _tell_failure(error: ChildFailedError) -> int:
    """Name the process that failed first, unless it has spoken itself; return its exit status."""

    def order(failure: ProcessFailure) -> tuple:
        # Within a second, a killed process is the cause; torchrun itself sends SIGTERM to the others.
        return failure.timestamp, failure.exitcode >= 0 or failure.exitcode == -signal.SIGTERM

    rank, first = min(error.failures.items(), key=lambda item: order(item[1]))
    if first.exitcode < 0:
        kill = first.signal_name()
        hint = ' (too little memory is a usual reason)' if kill == 'SIGKILL' else ''
        print(f'error: rank {rank} (process {first.pid}) was ended by {kill}{hint}', file=sys.stderr)
        # The other processes may have found it, and ended in an orderly way.
        lost = any(failure.exitcode == LOST_STATUS for failure in error.failures.values())
        return LOST_STATUS if lost else _by_signal(-first.exitcode)
    if first.exitcode not in _TOLD:
        told = f'rank {rank} (process {first.pid}) ended with status {first.exitcode}: its message is above'
        print(f'error: {told}', file=sys.stderr)
    return first.exitcode


def _launch() -> int:
    """Run the processes; return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder, 'preempted')
        os.environ[PREEMPTED_NOTE] = str(note)
        try:
            main()
        except ChildFailedError as error:
            return _tell_failure(error)
        except SignalException as error:
            # torchrun does not tell with what status the processes ended to which it passed the signal on.
            sys.exit(PREEMPTED_STATUS if note.exists() else _by_signal(error.sigval))
    return 0


def _start_anew() -> None:
    """Take this process's place, with nothing of it left.

    torchrun's own restarts (2.13) go on with its old store, in which the new processes find the addresses of the old.
    For the same reason several nodes meet at the next port.
    """
    arguments = [re.sub(r'(?<=^--master-port=)\d+$', lambda port: str(int(port[0]) + 1), each) for each in sys.argv[1:]]
    os.environ[RESTARTS] = str(restarts() + 1)
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, '-m', 'mmdclpp.apis._torchrun', *arguments])


if __name__ == '__main__':
    os.environ.setdefault('PET_SHUTDOWN_TIMEOUT', os.environ.get('GRACE') or '120')
    os.environ.setdefault('PET_SIGNALS_TO_HANDLE', _SIGNALS)
    os.environ.setdefault(LAUNCHED, str(time.time()))
    status = _launch()
    allowed = int(os.environ.get('MAX_RESTARTS') or 0)
    if status not in (0, USER_ERROR_STATUS, INTERRUPTED_STATUS) and restarts() < allowed:
        print(f'restart {restarts() + 1} of {allowed}', file=sys.stderr)
        _start_anew()
    sys.exit(status)
