"""Diagnose the features of pretrained models: similarities, alignment, uniformity, rank, geometric matches."""

import argparse

from mmdclpp.apis._cli import add_trust, run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Diagnose the features of pretrained models, without labels (see docs/diagnostics.md).',
        epilog="The images are augmented as in each checkpoint's own training.",
    )
    parser.add_argument('checkpoints', nargs='+', metavar='CHECKPOINT', help='pretraining checkpoint file')
    parser.add_argument(
        '--images', required=True, metavar='FOLDER_OR_LIST', help='images, or a text file with one path a line'
    )
    parser.add_argument('--num-images', type=int, default=200, help='so many at most, drawn (default: 200)')
    parser.add_argument('--seed', type=int, default=0, help='seed of images and views (default: 0)')
    parser.add_argument('--names', nargs='+', help='for tables and picture, one a checkpoint')
    parser.add_argument('--out', metavar='FILE.json', help='write figures and histograms here')
    parser.add_argument('--plot', metavar='FILE.png', help='draw histograms of similarities here')
    add_trust(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmdclpp.apis import diagnose_all

    diagnose_all(**vars(args))


if __name__ == '__main__':
    run_tool(main)
