"""Train the model of a config; `tools/dist_train.sh` does it with several processes."""

import argparse

from mmdclpp.apis._cli import add_launcher, add_trust, run_tool


def parse_args() -> argparse.Namespace:
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(description='Train the model of a config.')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help='where checkpoints and logs go (default: work_dirs/FOLDER/NAME of the config)'
    )
    parser.add_argument(
        '--data',
        metavar='FOLDER_OR_LIST',
        help='pretrain on your own images: a folder, a text file with one path a line, or COCO-style JSON; what '
        '--cfg-options leave open of batch, learning rate, crops and epochs is chosen for them',
    )
    parser.add_argument(
        '--init',
        metavar='timm:NAME|CHECKPOINT',
        help='begin with these weights; also mmpretrain:NAME, and timm:NAME=FILE for a file of such a model',
    )
    parser.add_argument('--dry-run', action='store_true', help='with --data: only look at images and print settings')
    parser.add_argument(
        '--resume',
        nargs='?',
        const=True,
        default=False,
        metavar='CHECKPOINT',
        help='continue from CHECKPOINT, or without it from the last one in the work dir',
    )
    parser.add_argument(
        '--amp',
        nargs='?',
        const=True,
        default=False,
        choices=['fp16', 'bf16'],
        help='train in mixed precision, of this type (default: fp16)',
    )
    parser.add_argument('--no-validate', dest='validate', action='store_false', help='do not evaluate during training')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by images per update (batch size x processes x accumulate) over base_batch_size',
    )
    parser.add_argument(
        '--accumulate',
        type=int,
        metavar='N',
        help='update the weights by the mean gradient of N batches; adds no negatives to any of them',
    )
    parser.add_argument('--compile', action='store_true', help='compile backbone and neck with torch.compile')
    parser.add_argument(
        '--grad-checkpointing',
        action='store_true',
        help="compute the activations of the backbone's blocks twice instead of keeping them",
    )
    parser.add_argument(
        '--ema',
        nargs='?',
        type=float,
        const=True,
        default=False,
        metavar='MOMENTUM',
        help='average the weights, for checkpoints and evaluations: share of the new ones at each update '
        '(default: 0.0002)',
    )
    parser.add_argument('--tensorboard', action='store_true', help='log to TensorBoard too')
    parser.add_argument(
        '--wandb', nargs='?', const=True, default=False, metavar='PROJECT', help='log to Weights & Biases too'
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
        '--no-progress-bar', dest='progress_bar', action='store_false', help='in a terminal too, log lines alone'
    )
    add_trust(parser)
    add_launcher(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmdclpp.apis import train

    train(**vars(args))


if __name__ == '__main__':
    run_tool(main)
