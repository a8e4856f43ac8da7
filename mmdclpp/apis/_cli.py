"""How a command-line tool is launched, and how it ends.

A user's mistake is one line on stderr and exit status 2, Ctrl-C status 130, a request to leave (with all saved) 75.
"""

import argparse
import os
import re
import sys
import traceback
import warnings
from typing import Callable, Optional

from mmdclpp.errors import Preempted, UserError

USER_ERROR_STATUS = 2
INTERRUPTED_STATUS = 130  # as shells have it
PREEMPTED_STATUS = 75  # EX_TEMPFAIL of sysexits.h: the same again will succeed
# In the environment, a file for the messages of processes that leave with this status, of which a launcher may see
# another, such as that of a process that the launcher itself ended.
PREEMPTED_NOTE = 'MMDCLPP_PREEMPTED_NOTE'
# Warnings of other packages, on every run, about nothing that a user could do or would miss.
_NOISE = (
    'Fail to import ``MultiScaleDeformableAttention``',  # an operator of mmdet's; tools/check_env.py tells of them
    'Setting (OMP|MKL)_NUM_THREADS environment variable',
    '`broadcast_buffers` is deprecated',
    'The draw is False, it means that the hook for visualization',  # mmseg's, whose drawing is off until --show-dir
    "Only use 'alpha' for pillow backend",  # mmcv's greyscale transform, in every data worker
)


class _Ignored(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        """Leave no trace of the argument."""


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher``, and accept ``--local-rank``.

    torch.distributed.launch, which mim calls, hands every process its rank; mmengine reads it from the environment.
    """
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='what started the processes'
    )
    parser.add_argument(
        '--local-rank', '--local_rank', action=_Ignored, default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )


class _Trust(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        """Trust from here on, in this process and those that it starts; leave no trace of the argument."""
        from mmdclpp.utils.checkpoint_files import trust  # which imports torch

        trust()


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust``, for a tool that loads checkpoints; see :func:`~mmdclpp.utils.checkpoint_files.trusting`."""
    parser.add_argument(
        '--trust',
        action=_Trust,
        nargs=0,
        default=argparse.SUPPRESS,
        help='load checkpoints that run code when they are loaded, because you trust who made them',
    )


def run_tool(main: Callable[[], Optional[int]]) -> None:
    """Run ``main`` and exit with its status.

    Args:
        main (Callable): The tool. What it returns is the exit status; None means 0.
    """
    for message in _NOISE:
        warnings.filterwarnings('ignore', message)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(INTERRUPTED_STATUS)
    except Preempted as error:
        if PREEMPTED_NOTE in os.environ:
            with open(os.environ[PREEMPTED_NOTE], 'a') as note:
                note.write(f'{error}\n')
        _tell_once(str(error))
        sys.exit(PREEMPTED_STATUS)
    except Exception as error:
        message = user_message(error)
        if message is None:
            raise
        _tell_once(f'error: {message}')
        sys.exit(USER_ERROR_STATUS)


def _tell_once(line: str) -> None:
    """Print a line on stderr, of all processes of a torchrun job only in the first that comes to it.

    The others wait until it is printed: the launcher ends every process as soon as one has left.
    """
    if os.environ.get('TORCHELASTIC_USE_AGENT_STORE') != 'True':
        print(line, file=sys.stderr, flush=True)
        return
    from torch.distributed import TCPStore

    # The store in which torchrun's processes meet; it is there before any process group, and outlives each of them.
    store = TCPStore(os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT']), is_master=False)
    key = f'mmdclpp/error/{os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)}'
    if store.add(key, 1) == 1:
        print(line, file=sys.stderr, flush=True)
        store.set(f'{key}/told', 'yes')
    else:
        store.wait([f'{key}/told'])


def user_message(error: Exception) -> Optional[str]:
    """The line to show if ``error`` is a user's mistake, None if it is a defect of the program.

    Besides :class:`UserError`, these are the errors by which other packages answer to a wrong path, a wrong
    type name or wrong keys in a config, and an incomplete installation.

    Args:
        error (Exception): What was raised, also by a worker of a ``DataLoader``.
    """
    if isinstance(error, UserError):
        return _one_line(error)
    if isinstance(error, (FileNotFoundError, PermissionError)):
        return f'{_one_line(error)}: check the path'
    if isinstance(error, ModuleNotFoundError) and (error.name or '').split('.')[0] != 'mmdclpp':
        return f'{_one_line(error)}: run `python tools/check_env.py`, which tells what the environment lacks'
    if isinstance(error, (KeyError, TypeError)) and _raised_by_build(error):
        return _build_message(error)
    part = _part_of_config(error)
    if part is not None:
        return f'{_one_line(error)}: correct {part} in the config'
    return None


def _one_line(error: Exception) -> str:
    message = str(error.args[0]) if isinstance(error, KeyError) else str(error)
    if message.startswith('Caught '):
        # torch passes a worker's error on with the whole traceback as its message; the error itself stands last.
        message = message.rstrip().splitlines()[-1].partition(': ')[2]
    return ' '.join(message.split())


def _raised_by_build(error: Exception) -> bool:
    """Whether the arguments of a config's ``dict(type=...)`` did not fit.

    Then mmengine's build function itself raised, or a constructor passed
    arguments on that its base class does not take.
    """
    frames = traceback.extract_tb(error.__traceback__)
    while frames and frames[-1].name == '__init__' and '__init__() ' in str(error):
        frames.pop()
    return bool(frames) and frames[-1].filename.replace(os.sep, '/').endswith('mmengine/registry/build_functions.py')


# What Python, PyTorch and mmengine raise of a value that is none of those expected.
_OF_VALUES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
# What mmengine's runner builds from a part of the config by other means than a registry.
_BUILDERS = {
    'build_dataloader': 'train_dataloader, val_dataloader or test_dataloader',
    'build_optim_wrapper': 'optim_wrapper',
    'build_param_scheduler': 'param_scheduler',
    'build_train_loop': 'train_cfg',
    'set_randomness': 'randomness',
}


def _part_of_config(error: Exception) -> Optional[str]:
    """The part of the config that a runner failed to build, None if it was not building any."""
    if not isinstance(error, _OF_VALUES):
        return None
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    return next((part for builder, part in _BUILDERS.items() if builder in names or f'{builder}()' in str(error)), None)


def _build_message(error: Exception) -> str:
    message = _one_line(error)
    unknown = re.match(r'(\S+) is not in the (\S+)::(.+?) registry', message)
    if unknown:
        name, scope, kind = unknown.groups()
        return (
            f'type={name!r} in the config names no {kind} known to {scope}: correct the name, prefix its scope '
            "(as in 'mmseg.FCNHead') or list its module in custom_imports"
        )
    return f'{message}: correct the keys of this part of the config'
