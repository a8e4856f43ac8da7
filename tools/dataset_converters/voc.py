"""Prepare PASCAL VOC 2007 and 2012, with SBD's additional masks. Run again, it goes on where it stopped."""

import argparse
from pathlib import Path

from _arguments import add_common_arguments, prepare_and_verify

from mmdclpp.apis._cli import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_arguments(parser)
    years = ['2007', '2012']
    parser.add_argument('--years', nargs='+', choices=years, default=years, help='(default: both)')
    parser.add_argument(
        '--no-aug', dest='aug', action='store_false', help="without SBD's masks, which make VOC2012 VOC2012Aug"
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    from mmdclpp.datasets import preparation

    if args.dry_run:
        archives = preparation.voc_archives(args.years, args.aug)
        print(preparation.describe(archives, Path(args.data_root).expanduser(), args.delete_archives))
        return 0
    wanted = (args.data_root, args.years, args.aug)
    return prepare_and_verify(
        args,
        lambda: preparation.prepare_voc(*wanted, args.download, args.mirror, args.delete_archives, args.workers),
        lambda full: preparation.verify_voc(*wanted, full, args.workers),
    )


if __name__ == '__main__':
    run_tool(main)
