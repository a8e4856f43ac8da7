"""Write the built-in data set of synthetic scenes."""

import argparse
import sys

from mmdclpp.datasets.scenes import generate_scenes
from mmdclpp.errors import UserError


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', default='data/scenes', help='folder of the data set (default: %(default)s)')
    parser.add_argument('--num-train', type=int, default=3000, help='training images (default: %(default)s)')
    parser.add_argument('--num-val', type=int, default=1000, help='validation images (default: %(default)s)')
    parser.add_argument('--size', type=int, default=96, help='side of the images in pixels (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='seed of all draws (default: %(default)s)')
    parser.add_argument('--workers', type=int, help='processes (default: one a core)')
    return parser.parse_args()


def main():
    args = parse_args()
    try:
        root = generate_scenes(args.out, args.num_train, args.num_val, args.size, args.seed, args.workers)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(f'{args.num_train} + {args.num_val} scenes in {root}')


if __name__ == '__main__':
    main()
