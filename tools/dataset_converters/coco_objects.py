"""Draw semantic masks from COCO-style object annotations of your own; masks that are there are left."""

import argparse

from _arguments import add_check_arguments

from mmdclpp.apis._cli import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--annotations', required=True, metavar='FILE', help='COCO-style JSON')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the masks')
    parser.add_argument('--images', metavar='DIR', help='folder of the images, which --verify needs')
    add_check_arguments(parser)
    args = parser.parse_args()
    if args.verify and not args.images:
        parser.error('--verify compares masks with images: name their folder with --images')
    return args


def main() -> int:
    args = parse_args()
    from mmdclpp.datasets import preparation

    written = preparation.write_object_masks(args.annotations, args.out, args.workers)
    print(f'{written} masks written to {args.out}')
    if args.verify is None:
        return 0
    checks = preparation.verify_object_masks(
        args.annotations, args.images, args.out, args.verify == 'full', args.workers
    )
    print(preparation.report(checks))
    return int(not preparation.passed(checks))


if __name__ == '__main__':
    run_tool(main)
