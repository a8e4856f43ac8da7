"""Run one of the poster's studies and write its report."""

import argparse
import sys
from typing import Optional

from mmdclpp.apis._cli import run_tool


def parse_args() -> argparse.Namespace:
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(
        description="Run one of the poster's studies: train and evaluate all its settings, and write a report.",
        epilog='What is done is not done again: the same command goes on where it was stopped.',
    )
    parser.add_argument(
        'name', choices=['methods', 'lambda', 'negatives', 'cross-view', 'reconstruction'], help='the study'
    )
    parser.add_argument(
        '--budget',
        choices=['tiny', 'small', 'paper'],
        default='tiny',
        help='tiny: built-in data, minutes; small: some thousand photographs; paper: COCO on 8 GPUs (default: tiny)',
    )
    parser.add_argument('--data-root', default='data', help='folder of the data sets, see docs/data.md (default: data)')
    parser.add_argument('--work-dir', help='where runs and reports go (default: work_dirs/studies/BUDGET)')
    parser.add_argument(
        '--seeds', type=int, help="trainings of each setting (default: the study's, 3 or for negatives 1)"
    )
    parser.add_argument('--epochs', type=int, help="length of each training (default: the budget's)")
    parser.add_argument('--gpus', type=int, help='GPUs, or processes on the CPU, of a run (default: 1, paper: 8)')
    parser.add_argument('--jobs', type=int, help='runs at a time (default: as many as there are GPUs or cores for)')
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument(
        '--no-segmentation', dest='segmentation', action='store_false', help='measure classification alone'
    )
    parser.add_argument('--slurm', metavar='PARTITION', help='run under Slurm, as a job array in this partition')
    parser.add_argument('--slurm-hours', type=float, default=24, help='time limit of a run (default: %(default)g)')
    parser.add_argument('--slurm-cpus', type=int, default=8, help='CPU cores a GPU (default: %(default)s)')
    parser.add_argument(
        '--slurm-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE', help='of sbatch: account=NAME'
    )
    parser.add_argument('--dry-run', action='store_true', help='print the commands and the cost, and do nothing')
    parser.add_argument('--report-only', action='store_true', help='write the report of what is done, and run nothing')
    return parser.parse_args()


def main() -> Optional[int]:
    args = vars(parse_args())
    keys = ('slurm', 'slurm_hours', 'slurm_cpus', 'slurm_options')
    partition, hours, cpus, options = (args.pop(key) for key in keys)
    from mmdclpp.apis import study

    slurm = dict(partition=partition, hours=hours, cpus_per_gpu=cpus, options=options) if partition else None
    try:
        outcomes = study(**args, slurm=slurm)
    except KeyboardInterrupt:
        print('interrupted: the same command goes on where this one stopped', file=sys.stderr)
        return 130
    return 1 if any(outcome.status == 'failed' for outcome in outcomes) else None


if __name__ == '__main__':
    run_tool(main)
