"""Time and peak memory of whole training steps, side by side, and what the dense losses add to them.

A step is forward, backward and the optimizer's update, on random images that lie on the device: data loading is not
measured. Every round takes one step of each method; the tables show medians and quartiles over the rounds. The
encoder alone, with the sum of its outputs as the loss, is the floor under all methods. Models and optimizers are
those of configs/; DenseCL++* takes 64 cross-view negatives, or two thirds of the positions where those are fewer.

Where the batch spans several processes, the others are simulated: a collective gives this process's values in the
place of theirs, so that sizes and the work of one process are real, and the wire is free. Batch norm sees the views
of one process.
"""

import argparse

import torch
from _report import ArgumentParser, device_name, fill_in, output_file, positive_int, print_table, write_json

from mmdclpp.apis._cli import run_tool
from mmdclpp.errors import UserError

SMALLEST = {'vit-s16': 32, 'r50': 64}  # pixels, for two by two positions
METHODS = ('encoder', 'simclr', 'simclr-mmpretrain', 'densecl', 'densecl-mmpretrain', 'densecl_pp', 'densecl_pp_star')
QUEUE = 65536  # keys of mmpretrain's DenseCL
# For a CPU what it can do in minutes, for a GPU the size that the methods are trained at.
DEFAULTS = {
    'cpu': dict(size=112, images=32, world_size=1, dtype='float32', iters=5, warmup=1),
    'cuda': dict(size=224, images=128, world_size=8, dtype='bfloat16', iters=30, warmup=5),
}


def parse_args() -> argparse.Namespace:
    def text(name: str, meaning: str) -> str:
        return f'{meaning} (default: {", ".join(f"{values[name]} on {device}" for device, values in DEFAULTS.items())})'

    here = 'cuda' if torch.cuda.is_available() else 'cpu'
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, choices in (('arch', SMALLEST), ('methods', METHODS)):
        meaning = f'of {", ".join(choices)} (default: all)'
        parser.add_argument(
            f'--{name}', nargs='+', metavar='NAME', choices=choices, default=list(choices), help=meaning
        )
    parser.add_argument('--size', type=positive_int, help=text('size', 'side of the views in pixels'))
    parser.add_argument('--images', type=positive_int, help=text('images', 'images a process, two views each'))
    parser.add_argument('--world-size', type=positive_int, help=text('world_size', 'processes that share the batch'))
    parser.add_argument('--device', type=device_name, default=here, help='cpu or cuda (default: %(default)s)')
    parser.add_argument('--dtype', choices=('float32', 'bfloat16'), help=text('dtype', 'bfloat16 is by autocast'))
    parser.add_argument('--iters', type=positive_int, help=text('iters', 'rounds that count'))
    parser.add_argument('--warmup', type=positive_int, help=text('warmup', 'rounds before those'))
    parser.add_argument('--json', type=output_file, metavar='FILE', help='write the results to FILE too')
    args = parser.parse_args()
    fill_in(args, DEFAULTS)
    smallest = max(SMALLEST[arch] for arch in args.arch)
    if args.size % 16 or args.size < smallest:
        raise UserError(f'--size {args.size}: {" and ".join(args.arch)} need a multiple of 16, {smallest} or more')
    batch = args.images * args.world_size
    if args.images < 2:
        raise UserError('--images 1 leaves batch norm and the negatives no other image: use 2 or more')
    if 'densecl-mmpretrain' in args.methods and QUEUE % batch:
        raise UserError(
            f"--images: the {QUEUE} keys of mmpretrain's DenseCL are no multiple of a batch of {batch}: use powers of "
            '2 for it and --world-size, or leave densecl-mmpretrain out of --methods'
        )
    return args


def print_steps(title: str, steps: dict) -> None:
    """One row a method."""
    from _train_steps import REFERENCES

    rows = [
        (
            method,
            f'{step["median"]:.1f}',
            f'{step["lower"]:.1f} to {step["upper"]:.1f}',
            *(f'{step[f"to_{name}"]:.3f}' if f'to_{name}' in step else '' for name in REFERENCES),
            f'{step["peak_bytes"] / 2**20:.0f}',
            f'{step["kept_bytes"] / 2**20:.0f}',
        )
        for method, step in steps.items()
    ]
    ratios = [f'/ {name}' for name in REFERENCES]
    columns = ('method', 'median ms', 'quartiles', *ratios, 'peak MiB', 'of it kept')
    print_table(f'Whole steps: {title}', columns, rows)


def print_losses(title: str, losses: dict, projector: dict) -> None:
    """One row a part, one column a method."""

    def cell(part: dict) -> str:
        return f'{part["median"]:.2f}' + (f' ({part["to_simclr"]:.1%})' if 'to_simclr' in part else '')

    rows = [(part, *(cell(loss[part]) for loss in losses.values())) for part in next(iter(losses.values()))]
    rows.append(('dense projector, not in total', *(cell(projector) for _ in losses)))
    print_table(f'Dense losses alone, ms (of the simclr step): {title}', ('part', *losses), rows)


def main() -> None:
    args = parse_args()
    from _train_steps import measure, prepare

    prepare(args)
    results = {}
    for arch in args.arch:
        result = results[arch] = measure(arch, args)
        views = 2 * args.images
        title = (
            f'{arch}, {args.size} px, {result["positions"]} positions, {args.dtype}, {views} views of '
            f'{views * args.world_size} in the batch' + ', the other processes simulated' * (args.world_size > 1)
        )
        print_steps(title, result['steps'])
        if result['losses']:
            print_losses(title, result['losses'], result['projector'])
    write_json(args, results)


if __name__ == '__main__':
    run_tool(main)
