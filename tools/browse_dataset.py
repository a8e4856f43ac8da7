"""Look at the views that a pretraining config trains on, jittered and blurred as the model gets them."""

import argparse

from mmdclpp.apis._cli import run_tool


def parse_args() -> argparse.Namespace:
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(description=__doc__, epilog='See docs/data-path.md.')
    parser.add_argument('config', help='pretraining config file')
    parser.add_argument(
        '--out', metavar='FILE.png', help="picture to write (default: views.png in the config's work dir)"
    )
    parser.add_argument(
        '--data',
        metavar='FOLDER_OR_LIST',
        help='your own images, with the settings that tools/train.py chooses for them',
    )
    parser.add_argument('--number', type=int, default=6, help='images, spread over the data set (default: 6)')
    parser.add_argument('--epochs', type=int, default=2, help="so many epochs' views of each (default: 2)")
    parser.add_argument('--seed', type=int, help="of the draws (default: the config's)")
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='change keys of the config'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmdclpp.apis import browse

    print(f'wrote {browse(**vars(args))}')


if __name__ == '__main__':
    run_tool(main)
