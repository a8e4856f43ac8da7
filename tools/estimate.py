"""Estimate memory and time of a pretraining config, before it is begun."""

import argparse
from pathlib import Path

from mmdclpp.apis._cli import run_tool


def parse_args() -> argparse.Namespace:
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(
        description='Estimate memory and time of a pretraining config; needs no GPU and no data (see docs/training.md).'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--gpus', type=int, default=1, metavar='N', help='GPUs of all nodes together (default: 1)')
    parser.add_argument('--gpu', metavar='NAME', help="h200, h100, a100, l4, ... (default: this machine's, or h100)")
    parser.add_argument('--batch-size', type=int, metavar='B', help="images of a GPU (default: the config's)")
    parser.add_argument(
        '--amp', nargs='?', const=True, default=False, choices=['fp16', 'bf16'], help='train in mixed precision'
    )
    parser.add_argument('--accumulate', type=int, metavar='N', help='update by the mean gradient of N batches')
    parser.add_argument('--grad-checkpointing', action='store_true', help='compute activations twice')
    parser.add_argument('--ema', action='store_true', help='average the weights')
    parser.add_argument('--data', metavar='FOLDER_OR_LIST', help='your own images')
    parser.add_argument('--images', type=int, metavar='N', help='number of training images, where they are not here')
    parser.add_argument(
        '--utilisation', type=float, default=0.4, metavar='SHARE', help="of the GPU's peak (default: 0.4, assumed)"
    )
    parser.add_argument(
        '--measure',
        action=argparse.BooleanOptionalAction,
        help='take real steps on this machine, and estimate for it (default: if it has a GPU)',
    )
    parser.add_argument('--json', metavar='FILE', help='write the figures here')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override keys of the config'
    )
    return parser.parse_args()


def main() -> None:
    args = vars(parse_args())
    from mmdclpp.apis import estimate
    from mmdclpp.apis.estimating.report import print_estimate
    from mmdclpp.utils.files import write_whole
    from mmdclpp.utils.strict_json import strict_json

    file = args.pop('json')
    found = estimate(**args)
    precision = 'mixed precision' if found.amp else 'float32'
    title = f'{Path(args["config"])}: {found.gpus} × {found.device.name}, {found.batch_size} images each, {precision}'
    print_estimate(found, title)
    if file is not None:
        write_whole(file, strict_json(found.as_dict()) + '\n')


if __name__ == '__main__':
    run_tool(main)
