"""Pack many image files into one, which PackedImages reads: for file systems on which many small files are slow."""

import argparse

from mmdclpp.apis._cli import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'source',
        nargs='?',
        help='a folder of images, those of its subfolders included, a text file with one path a line, or COCO-style '
        'JSON; without it, --verify looks at the file that is there',
    )
    parser.add_argument('--out', required=True, metavar='FILE', help='the packed file, such as data/images.lmdb')
    parser.add_argument('--overwrite', action='store_true', help='replace the file if it is there, when all is packed')
    parser.add_argument(
        '--short-side',
        type=int,
        metavar='N',
        help='make images with a longer short side smaller, to N px, and store them as JPEG; without it, and for all '
        'others, the bytes of the files are stored as they are',
    )
    parser.add_argument('--quality', type=int, metavar='Q', help='of those JPEGs, 1 to 100 (default: 90)')
    parser.add_argument(
        '--verify',
        nargs='?',
        const='sample',
        choices=['sample', 'full'],
        help='afterwards compare size and CRC-32 of every image, and decode a sample of them, or all',
    )
    parser.add_argument('--workers', type=int, metavar='N', help='threads (default: one a core)')
    args = parser.parse_args()
    if args.source is None and args.verify is None:
        parser.error('name what is to be packed, or add --verify to look at a file that is there')
    return args


def main() -> int:
    args = parse_args()
    from mmdclpp.apis.own_images.images import dataset_of, list_images
    from mmdclpp.datasets import preparation

    good = True
    if args.source is not None:
        packed = preparation.pack_images(
            list_images(dataset_of(args.source)),
            args.out,
            args.overwrite,
            args.short_side,
            args.quality,
            args.workers,
        )
        print(preparation.describe_packed(packed, args.out))
        good = not packed.left_out
    if args.verify is not None:
        checks = preparation.verify_packed(args.out, args.verify == 'full', args.workers)
        print(preparation.report(checks))
        good = good and preparation.passed(checks)
    return int(not good)


if __name__ == '__main__':
    run_tool(main)
