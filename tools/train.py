"""Train the model of a config; `tools/dist_train.sh` does it with several processes."""

import argparse

from mmdclpp.apis._cli import run_tool


def parse_args() -> argparse.Namespace:
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(description='Train the model of a config.')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help='where checkpoints and logs go (default: work_dirs/FOLDER/NAME of the config)'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const=True,
        default=False,
        metavar='CHECKPOINT',
        help='continue from CHECKPOINT, or without it from the last one in the work dir',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument('--no-validate', dest='validate', action='store_false', help='do not evaluate during training')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate by batch size over base_batch_size'
    )
    parser.add_argument('--no-pin-memory', dest='pin_memory', action='store_false', help='do not pin batches in memory')
    parser.add_argument(
        '--no-persistent-workers',
        dest='persistent_workers',
        action='store_false',
        help='start the data workers anew for every epoch',
    )
    parser.add_argument('--seed', type=int, help="seed of every random draw (default: the config's)")
    parser.add_argument('--deterministic', action='store_true', help='use deterministic algorithms only')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override keys of the config: optim_wrapper.optimizer.lr=0.1 key="[1,2]" pipeline.0.type=LoadImage',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='what started the processes'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmdclpp.apis import train

    train(**vars(args))


if __name__ == '__main__':
    run_tool(main)
