"""How fast images become two augmented views, from JPEG files to normalised batches, beside mmpretrain and lightly.

All contenders have the recipe of configs/_base_/datasets/coco_two_views.py, the same files, and turns; mmpretrain's
pipeline is of its own classes. Parts:

  core         milliseconds of one core an image, split into what a loader's worker does and what is left for the device
  photometric  of that, jitter, grey, blur and normalisation of views that lie in memory, milliseconds a view
  decoding     JPEGs that lie in memory, milliseconds an image
  machine      images/s from a data loader with --num-workers
  memory       the most that a loader's worker has to itself, finished batches apart
  waiting      share of a training step of --config that waits for its batch, as the runner logs it; on a GPU if there
               is one; not measured unless asked for

Of core, photometric and decoding processor seconds are counted, of one thread on one core: other work on the machine
disturbs them less. --images smaller than 640 x 480 px are enlarged; without it scenes are drawn.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Dict, List

import torch
from _report import ArgumentParser, output_file, positive_int, print_table, write_json

from mmdclpp.apis._cli import run_tool
from mmdclpp.utils.paths import config_path

PARTS = ('core', 'photometric', 'decoding', 'machine', 'memory', 'waiting')
CONFIGS = {'cpu': 'densecl_pp/vit-demo_folder.py', 'cuda': 'densecl_pp/vit-s16_coco.py'}


def parse_args() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--part', nargs='+', choices=PARTS, default=PARTS[:-1], metavar='NAME', help='what to measure, of the above'
    )
    parser.add_argument('--images', metavar='FOLDER', help='photographs to use')
    parser.add_argument('--count', type=positive_int, default=128, help='images a round (default: %(default)s)')
    parser.add_argument('--size', type=positive_int, default=224, help='side of the views in pixels (default: 224)')
    parser.add_argument(
        '--batch-size', type=positive_int, help="images a batch (default: 32; of waiting, the config's)"
    )
    parser.add_argument(
        '--num-workers',
        type=positive_int,
        default=len(os.sched_getaffinity(0)),
        help='processes that load images, of machine and waiting (default: the cores)',
    )
    parser.add_argument('--rounds', type=positive_int, default=5, help='rounds that count (default: %(default)s)')
    parser.add_argument('--warmup', type=positive_int, default=1, help='rounds before those (default: %(default)s)')
    here = CONFIGS['cuda' if torch.cuda.is_available() else 'cpu']
    parser.add_argument('--config', metavar='FILE', help=f'what waiting trains (default: configs/{here})')
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument(
        '--iters', type=positive_int, default=50, help='steps of waiting that count (default: %(default)s)'
    )
    parser.add_argument('--json', type=output_file, metavar='FILE', help='write the results to FILE too')
    args = parser.parse_args()
    args.config = args.config or str(config_path(here))
    if not Path(args.config).is_file():
        parser.error(f'--config {args.config} does not exist')
    return args


def print_core(results: Dict[str, dict], title: str) -> None:
    def rate(case: dict, part: str) -> float:
        return 1e3 / case[part]['median']

    def ratio(case: dict, part: str) -> str:
        return f'{rate(case, part) / rate(results["mmpretrain"], part):.2f}'

    rows = [
        (
            name,
            f'{case["loader"]["median"]:.2f}',
            f'{case["device"]["median"]:.2f}',
            f'{case["total"]["median"]:.2f}',
            f'{case["total"]["lower"]:.2f} to {case["total"]["upper"]:.2f}',
            f'{case["total"]["least"]:.2f}',
            f'{rate(case, "total"):.0f}',
            ratio(case, 'total'),
            f'{rate(case, "loader"):.0f}',
            ratio(case, 'loader'),
        )
        for name, case in results.items()
    ]
    columns = (
        'loader',
        'device',
        'total',
        'quartiles',
        'least',
        'images/s',
        '/ mmpretrain',
        'loader alone',
        '/ mmpretrain',
    )
    print_table(title, ('one core, ms an image', *columns), rows)


def print_calls(results: Dict[str, dict], title: str) -> None:
    ours = results['ours']['median']
    rows: List[tuple] = [
        (
            name,
            f'{case["median"]:.2f}',
            f'{case["lower"]:.2f} to {case["upper"]:.2f}',
            f'{case["least"]:.2f}',
            f'{case["median"] / ours:.2f}',
        )
        for name, case in results.items()
    ]
    print_table(title, ('one core', 'median', 'quartiles', 'least', '/ ours'), rows)


def print_spreads(results: Dict[str, dict], title: str, unit: float, form: str) -> None:
    rows = [
        (
            name,
            f'{case["median"] / unit:{form}}',
            f'{case["lower"] / unit:{form}} to {case["upper"] / unit:{form}}',
            f'{case["median"] / results["mmpretrain"]["median"]:.2f}',
        )
        for name, case in results.items()
    ]
    print_table(title, ('', 'median', 'quartiles', '/ mmpretrain'), rows)


def print_waiting(results: Dict[str, dict], args: argparse.Namespace) -> None:
    rows = [
        (
            name,
            f'{case["step"]:.0f}',
            f'{case["waiting"]:.1f}',
            f'{100 * case["share"]:.1f} %',
            f'{1e3 * case["batch_size"] / case["step"]:.0f}',
        )
        for name, case in results.items()
    ]
    title = f'{Path(args.config).name}, {args.num_workers} workers, means of {args.iters} steps'
    print_table(title, ('LoadViews.backend', 'step, ms', 'waiting, ms', 'share', 'images/s'), rows)


def measure(args: argparse.Namespace, folder: Path) -> Dict[str, dict]:
    """Measure the parts, each printed as soon as it is known."""
    from _data_path import (
        measure_calls,
        measure_core,
        measure_machine,
        measure_memory,
        measure_waiting,
        prepare_files,
    )
    from _feature_extraction import draw_photographs
    from _view_pipelines import Recipe, decoders

    drawn, enlarged = folder / 'drawn', folder / 'enlarged'
    drawn.mkdir()
    enlarged.mkdir()
    if args.images is None:
        draw_photographs(drawn)
    files = prepare_files(args.images or str(drawn), args.count, str(enlarged))
    number = len(set(files.paths))
    mean = f'{files.mean_bytes / 1e3:.0f} kB, {files.mean_width:.0f} x {files.mean_height:.0f} px'
    print(f'{number} files, {files.enlarged} of them enlarged; on average {mean}')
    results: Dict[str, dict] = {'files': {**files._asdict(), 'paths': number}}
    if 'waiting' in args.part:  # before the default batch size is set
        results['waiting'] = measure_waiting(files.paths, args)
        print_waiting(results['waiting'], args)
    args.batch_size = args.batch_size or 32
    recipe = Recipe(args.size)
    pipelines = recipe.pipelines()
    if 'core' in args.part:
        results['core'] = measure_core(pipelines, files.paths, args)
        print_core(results['core'], f'Two views of {args.size} px, batches of {args.batch_size}')
    if 'photometric' in args.part:
        number = min(args.batch_size, args.count)
        results['photometric'] = measure_calls(recipe.photometric(files.paths[:number]), number, args)
        print_calls(
            results['photometric'], f'Jitter to normalisation, ms a view of {args.size} px, batches of {number}'
        )
    if 'decoding' in args.part:
        results['decoding'] = measure_calls(decoders(files.paths), args.count, args)
        print_calls(results['decoding'], 'Decoding, ms an image')
    if 'machine' in args.part:
        results['machine'] = measure_machine(pipelines, files.paths, args)
        print_spreads(results['machine'], f'Images/s of {args.num_workers} workers', 1, '.0f')
    if 'memory' in args.part:
        results['memory'] = measure_memory(pipelines, files.paths, args)
        print_spreads(
            results['memory'], 'The most that a worker has to itself, finished batches apart, MiB', 2**20, '.1f'
        )
    return results


def main() -> None:
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(args, Path(folder))
    write_json(args, results)


if __name__ == '__main__':
    run_tool(main)
