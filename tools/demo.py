"""Show DenseCL++ learn on the built-in data: what `make demo` runs."""

import argparse

from mmdclpp.apis._cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--compare', action='store_true', help='pretrain with SimCLR and DenseCL too, at equal budget')
    parser.add_argument('--data-root', default='data/scenes', help='the built-in scenes; made where they are missing')
    parser.add_argument('--work-dir', default='work_dirs/demo', help='where results and pictures go')
    parser.add_argument('--seed', type=int, default=0, help='seed of training')
    args = parser.parse_args()

    from mmdclpp.apis.demonstration import demo

    demo(args.data_root, args.work_dir, args.compare, args.seed)


if __name__ == '__main__':
    run_tool(main)
