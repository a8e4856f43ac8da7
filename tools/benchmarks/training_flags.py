"""What --grad-checkpointing, --compile and --ema cost and save in a training step of DenseCL++, side by side.

A step is forward, backward and update, on random images that lie on the device. Every round takes one step of each;
the table shows medians over the rounds, of seconds on a GPU and of processor seconds on a CPU, which other work on the
machine disturbs less; and the memory that a step takes besides weights and optimizer.
"""

import argparse
import time
from typing import Callable, Dict, List

import torch
from _report import ArgumentParser, Spread, device_name, output_file, positive_int, print_table, progress, write_json

from mmdclpp.apis._cli import run_tool

FLAGS = ('none', 'ema', 'grad-checkpointing', 'compile', 'compile+grad-checkpointing')
WARMUP = 2


def parse_args() -> argparse.Namespace:
    here = 'cuda' if torch.cuda.is_available() else 'cpu'
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--flags', nargs='+', choices=FLAGS, default=FLAGS, metavar='NAME', help=f'of {", ".join(FLAGS)} (default: all)'
    )
    parser.add_argument('--arch', choices=('vit-s16', 'r50'), default='vit-s16', help='default: %(default)s')
    parser.add_argument('--size', type=positive_int, default=112, help='side of the views in pixels (default: 112)')
    parser.add_argument('--images', type=positive_int, default=4, help='two views each (default: 4)')
    parser.add_argument('--rounds', type=positive_int, default=5, help='rounds that count (default: 5)')
    parser.add_argument('--device', type=device_name, default=here, help='cpu or cuda (default: %(default)s)')
    parser.add_argument('--json', type=output_file, metavar='FILE', help='write the results to FILE too')
    args = parser.parse_args()
    args.dtype = 'bfloat16' if args.device == 'cuda' else 'float32'
    args.world_size = 1
    return args


def prepare_step(flags: str, args: argparse.Namespace, views: list):
    """A training step as these flags of tools/train.py make it."""
    from _train_steps import Step
    from mmengine.model import MomentumAnnealingEMA

    from mmdclpp.apis._tuned_runner import COMPILED_PARTS, compile_forward
    from mmdclpp.models.backbones.checkpointed import checkpoint_blocks

    torch.manual_seed(0)
    step = Step('densecl_pp', args.arch, args, views)
    if 'grad-checkpointing' in flags:
        checkpoint_blocks(step.model.backbone)
    if 'compile' in flags:
        for name in COMPILED_PARTS:
            if getattr(step.model, name) is not None:
                compile_forward(getattr(step.model, name))
    if 'ema' not in flags:
        return step
    average = MomentumAnnealingEMA(step.model, update_buffers=True)

    def averaged_step() -> None:
        step()
        average.update_parameters(step.model)

    return averaged_step


def milliseconds(step: Callable[[], None], device: str) -> float:
    """What one step takes."""
    clock = time.perf_counter if device == 'cuda' else time.process_time
    start = clock()
    step()
    if device == 'cuda':
        torch.cuda.synchronize()
    return 1e3 * (clock() - start)


def main() -> None:
    args = parse_args()
    from _train_steps import prepare

    from mmdclpp.utils.measure import peak_memory

    prepare(args)
    views = [torch.randn(args.images, 3, args.size, args.size, device=args.device) for _ in range(2)]
    steps = {flags: prepare_step(flags, args, views) for flags in args.flags}
    times: Dict[str, List[float]] = {flags: [] for flags in steps}
    for number in progress(range(WARMUP + args.rounds), 'time'):
        for flags, step in steps.items():
            taken = milliseconds(step, args.device)
            if number >= WARMUP:
                times[flags].append(taken)
    results: Dict[str, dict] = {
        flags: dict(Spread.of(times[flags])._asdict(), peak_bytes=peak_memory(step, args.device))
        for flags, step in steps.items()
    }
    first = results[args.flags[0]]
    rows = [
        (
            flags,
            f'{result["median"]:.0f}',
            f'{result["median"] / first["median"]:.2f}',
            f'{result["peak_bytes"] / 2**20:.0f}',
            f'{result["peak_bytes"] / first["peak_bytes"]:.2f}',
        )
        for flags, result in results.items()
    ]
    title = f'DenseCL++, {args.arch}, {args.size} px, {2 * args.images} views, {args.dtype}'
    print_table(title, ('flags', 'median ms', 'to first', 'peak MiB', 'to first'), rows)
    write_json(args, results)


if __name__ == '__main__':
    run_tool(main)
