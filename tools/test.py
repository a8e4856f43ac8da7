"""Evaluate a checkpoint with a config; `tools/dist_test.sh` does it with several processes."""

import argparse

from mmdclpp.apis._cli import add_launcher, add_trust, run_tool


def parse_args() -> argparse.Namespace:
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(description='Evaluate a checkpoint on the test set of a config.')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='where the metrics go (default: work_dirs/FOLDER/NAME of the config)')
    parser.add_argument('--out', help='file to write to: .pkl, for metrics also .json or .yaml')
    parser.add_argument(
        '--out-item', choices=['pred', 'metrics'], default='pred', help='what --out receives (default: pred)'
    )
    parser.add_argument('--show-dir', help='where to draw predictions')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--interval', type=int, default=1, help='draw every INTERVAL-th sample (default: 1)')
    parser.add_argument('--wait-time', type=float, default=2.0, help='seconds a window stays (default: 2)')
    parser.add_argument('--amp', action='store_true', help='predict in mixed precision')
    parser.add_argument('--tta', action='store_true', help="average over the config's test-time augmentations")
    parser.add_argument('--no-pin-memory', dest='pin_memory', action='store_false', help='do not pin batches in memory')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override keys of the config: test_dataloader.batch_size=8',
    )
    add_trust(parser)
    add_launcher(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmdclpp.apis import test

    test(**vars(args))


if __name__ == '__main__':
    run_tool(main)
