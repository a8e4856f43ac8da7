"""Time and peak memory of the thresholded mean that guided selection needs, by PyTorch and, on a GPU, by Triton.

Where both run, their results are compared too: they differ by rounding, and by (1 + threshold) / positions where a
similarity within rounding of the threshold falls on the other side of it.
"""

import argparse

import torch
from _report import (
    ArgumentParser,
    Spread,
    device_name,
    fill_in,
    output_file,
    positive_int,
    print_table,
    time_interleaved,
    write_json,
)
from torch.nn.functional import normalize

from mmdclpp.apis._cli import run_tool
from mmdclpp.core.thresholded_mean import thresholded_mean
from mmdclpp.utils.measure import peak_memory

# For a GPU what one of eight processes scores of 2,048 views of 224 px; for a CPU what it can do in seconds.
DEFAULTS = {'cpu': dict(views=8, images=32), 'cuda': dict(views=256, images=1024)}


def parse_args() -> argparse.Namespace:
    here = 'cuda' if torch.cuda.is_available() else 'cpu'
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--views', type=positive_int, help='anchor views (default: 8 on cpu, 256 on cuda)')
    parser.add_argument('--images', type=positive_int, help='images of the batch (default: 32 on cpu, 1024 on cuda)')
    parser.add_argument('--positions', type=positive_int, default=196, help='a view (default: %(default)s)')
    parser.add_argument('--dims', type=positive_int, default=128, help='of a feature (default: %(default)s)')
    parser.add_argument('--threshold', type=float, default=0.5, help='(default: %(default)s)')
    parser.add_argument('--memory-budget', type=float, metavar='MIB', help='(default: what suits the device)')
    parser.add_argument('--device', type=device_name, default=here, help='cpu or cuda (default: %(default)s)')
    parser.add_argument('--iters', type=positive_int, default=10, help='rounds that count (default: %(default)s)')
    parser.add_argument('--warmup', type=positive_int, default=2, help='rounds before those (default: %(default)s)')
    parser.add_argument('--json', type=output_file, metavar='FILE', help='write the results to FILE too')
    args = parser.parse_args()
    fill_in(args, DEFAULTS)
    return args


def main() -> None:
    args = parse_args()
    torch.manual_seed(0)
    num_candidates = 2 * args.images * args.positions
    # The shift makes similarities of about a half: the threshold cuts through them.
    anchors, candidates = (
        normalize(torch.randn(*shape, args.dims, device=args.device) + 0.9, dim=-1)
        for shape in ((args.views, args.positions), (num_candidates,))
    )

    def case(backend: str):
        return lambda: thresholded_mean(anchors, candidates, args.threshold, args.memory_budget, backend)

    cases = {backend: case(backend) for backend in ('torch', 'triton')[: 1 + (args.device == 'cuda')]}
    flops = 2 * anchors.numel() * num_candidates
    results = {}
    for name, times in time_interleaved(cases, args.iters, args.warmup, args.device).items():
        spread = Spread.of(times)
        peak = peak_memory(cases[name], args.device)
        results[name] = dict(**spread._asdict(), tflops=flops / spread.median / 1e9, peak_bytes=peak)
    if len(cases) > 1:
        difference = (cases['triton']() - cases['torch']()).abs()
        results['difference'] = dict(mean=difference.mean().item(), largest=difference.max().item())
        print('triton - torch: mean {mean:.1e}, largest {largest:.1e}'.format(**results['difference']))
    rows = [
        (name, *(f'{results[name][key]:.2f}' for key in ('median', 'lower', 'upper', 'tflops')), f'{peak / 2**20:.0f}')
        for name, peak in ((name, results[name]['peak_bytes']) for name in cases)
    ]
    title = f'{args.views} x {args.positions} anchors, {num_candidates} candidates, {args.dims} dims, {args.device}'
    print_table(title, ('backend', 'median ms', 'lower', 'upper', 'TFLOP/s', 'peak MiB'), rows)
    write_json(args, results)


if __name__ == '__main__':
    run_tool(main)
