"""What the tools for public data sets have in common."""

import argparse
from typing import TYPE_CHECKING, Callable, List

if TYPE_CHECKING:
    from mmdclpp.datasets.preparation import Check


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that do not depend on the data set."""
    parser.add_argument('--data-root', default='data', help='folder of all data (default: %(default)s)')
    parser.add_argument('--download', action='store_true', help='download the archives that are missing')
    parser.add_argument('--mirror', metavar='URL', help='take the archives from this folder, by their official names')
    parser.add_argument('--delete-archives', action='store_true', help='delete each archive once it is unpacked')
    add_check_arguments(parser)
    parser.add_argument(
        '--dry-run', action='store_true', help='list archives, sizes and the disk space needed, and do nothing'
    )


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of conversion and verification."""
    parser.add_argument(
        '--verify',
        nargs='?',
        const='sample',
        choices=['sample', 'full'],
        help='afterwards check numbers, annotations and masks, and decode a sample of the images, or all of them',
    )
    parser.add_argument('--workers', type=int, help='processes (default: one a core)')


def prepare_and_verify(
    args: argparse.Namespace, prepare: Callable[[], None], verify: Callable[[bool], List['Check']]
) -> int:
    """Prepare, and verify if asked to; data that are missing are then listed among what is wrong.

    Returns:
        int: The exit status.
    """
    from mmdclpp.datasets import preparation

    try:
        prepare()
    except preparation.ArchiveMissing as error:
        if args.verify is None:
            raise
        print(f'not prepared: {error}')
    if args.verify is None:
        return 0
    checks = verify(args.verify == 'full')
    print(preparation.report(checks))
    return int(not preparation.passed(checks))
