"""Prepare COCO 2017: images, annotations, masks of objects, COCO-Stuff. Run again, it goes on where it stopped."""

import argparse
from pathlib import Path

from _arguments import add_common_arguments, prepare_and_verify

from mmdclpp.apis._cli import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_arguments(parser)
    tasks, splits = ['images', 'instances', 'objects', 'stuff'], ['train', 'val']
    parser.add_argument(
        '--tasks', nargs='+', choices=tasks, default=tasks, help='what is wanted, with all that it needs (default: all)'
    )
    parser.add_argument('--splits', nargs='+', choices=splits, default=splits, help='(default: both)')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    from mmdclpp.datasets import preparation

    if args.dry_run:
        archives = preparation.coco_archives(args.tasks, args.splits)
        print(preparation.describe(archives, Path(args.data_root).expanduser(), args.delete_archives))
        return 0
    wanted = (args.data_root, args.tasks, args.splits)
    return prepare_and_verify(
        args,
        lambda: preparation.prepare_coco(*wanted, args.download, args.mirror, args.delete_archives, args.workers),
        lambda full: preparation.verify_coco(*wanted, full, args.workers),
    )


if __name__ == '__main__':
    run_tool(main)
