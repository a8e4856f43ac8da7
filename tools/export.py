"""Export the backbone of a checkpoint to timm, mmpretrain, mmseg, transformers, ONNX or TorchScript."""

import argparse
import signal
import sys

from mmdclpp.apis._cli import add_trust, run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Export the backbone of a checkpoint, for another library (see docs/export.md).',
        epilog='The export is loaded in that library and compared with the backbone before it is there.',
    )
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='pretraining checkpoint')
    parser.add_argument(
        '--to',
        required=True,
        choices=['timm', 'mmpretrain', 'mmseg', 'hf', 'onnx', 'torchscript'],
        help='library, or form of a graph; hf is transformers',
    )
    parser.add_argument(
        '--out', '--out-dir', metavar='FOLDER', help='default: beside the checkpoint, with the name of the library'
    )
    parser.add_argument('--img-size', type=int, metavar='PX', help='side of the images (default: as pretrained)')
    parser.add_argument('--backbone', metavar='timm:NAME', help='or mmpretrain:NAME: what the file has weights of')
    parser.add_argument('--config', help='config with model.backbone, for a checkpoint that holds none')
    parser.add_argument('--aggregate', choices=['cls', 'gap'], help='global feature (default: as pretrained)')
    parser.add_argument('--metrics', metavar='results.json', help='of tools/evaluate.py, for the model card')
    parser.add_argument('--license', help='of the weights, for the model card: apache-2.0 (default: not stated)')
    parser.add_argument('--fixed-size', action='store_true', help='of onnx and torchscript: for images of one size')
    parser.add_argument('--overwrite', action='store_true', help='replace an export that is there')
    add_trust(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmdclpp.apis import export

    # Ended by a scheduler, it takes the unfinished folder away first; the status is as shells have it.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))

    export(**vars(args))


if __name__ == '__main__':
    run_tool(main)
