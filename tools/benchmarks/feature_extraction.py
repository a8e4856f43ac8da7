"""Images a second of the feature extraction, from JPEG files to shards on disk, beside the bare backbone.

The bare backbone computes the same aggregates of as many images, which lie ready on the device in batches of the same
size. Loading alone is the extraction with a backbone that computes nothing: the most that loading can give. Every round
takes each once; the table shows medians and quartiles over the rounds. Backbones, pipeline and its size, 224 px, are
those of configs/. Without --images scenes are drawn, as large as COCO's photographs in pixels and bytes.
"""

import argparse
import os
import tempfile
from pathlib import Path

import torch
from _report import ArgumentParser, device_name, fill_in, output_file, positive_int, print_table, write_json

from mmdclpp.apis._cli import run_tool

ARCHS = {'vit-s16': {'out_type': 'raw'}, 'r50': {}}
# For a CPU what it can do in minutes.
DEFAULTS = {
    'cpu': dict(count=1024, batch_size=64, rounds=3, warmup=1),
    'cuda': dict(count=16384, batch_size=256, rounds=5, warmup=1),
}


def parse_args() -> argparse.Namespace:
    def text(name: str, meaning: str) -> str:
        return f'{meaning} (default: {", ".join(f"{values[name]} on {device}" for device, values in DEFAULTS.items())})'

    here = 'cuda' if torch.cuda.is_available() else 'cpu'
    cores = len(os.sched_getaffinity(0))
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    meaning = f'of {", ".join(ARCHS)} (default: all)'
    parser.add_argument('--arch', nargs='+', metavar='NAME', choices=ARCHS, default=list(ARCHS), help=meaning)
    parser.add_argument('--images', metavar='FOLDER', help='images to use, again and again if there are too few')
    parser.add_argument('--count', type=positive_int, help=text('count', 'images a round'))
    parser.add_argument('--batch-size', type=positive_int, help=text('batch_size', 'images a step'))
    parser.add_argument(
        '--num-workers', type=positive_int, default=cores, help='processes that load images (default: the cores)'
    )
    parser.add_argument('--device', type=device_name, default=here, help='cpu or cuda (default: %(default)s)')
    parser.add_argument('--rounds', type=positive_int, help=text('rounds', 'rounds that count'))
    parser.add_argument('--warmup', type=positive_int, help=text('warmup', 'rounds before those'))
    parser.add_argument('--json', type=output_file, metavar='FILE', help='write the results to FILE too')
    args = parser.parse_args()
    fill_in(args, DEFAULTS)
    return args


def main() -> None:
    args = parse_args()
    from _feature_extraction import build_dataset, draw_photographs, measure

    with tempfile.TemporaryDirectory() as folder:
        if args.images is None:
            draw_photographs(Path(folder))
        dataset = build_dataset(args.images or folder, args.count)
        results = {arch: measure(arch, ARCHS[arch], dataset, args) for arch in args.arch}
    rows = [
        (arch, name, f'{case["median"]:.1f}', f'{case["lower"]:.1f} to {case["upper"]:.1f}', f'{case["to_bare"]:.3f}')
        for arch, cases in results.items()
        for name, case in cases.items()
    ]
    title = f'Images/s on {args.device}, {args.count} images in batches of {args.batch_size}'
    print_table(title, ('backbone', 'what', 'median', 'quartiles', '/ bare'), rows)
    write_json(args, results)


if __name__ == '__main__':
    run_tool(main)
