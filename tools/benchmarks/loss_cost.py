"""Time and peak extra memory of the losses, forward and backward, side by side, on random projections.

The dense loss (ours) is compared with the same loss over full logits (plain), with chunks that are computed again in
the backward pass (recompute), and with the matrix products that cannot be spared (bare: three, of the anchors and the
candidates, where all anchors share these). Matching and choosing the negatives are the same code in all three losses;
matching has few channels unless --pair-channels says so, since train_step.py measures it. The global loss is compared
with those of lightly, mmpretrain and, on a GPU, inf_cl.

Values and gradients are checked to agree first. Every round then calls each loss once; the tables show medians and
quartiles over the rounds. With bfloat16, projections have that type and autocast is on, under which our losses and the
plain ones compute in float32.
"""

import argparse
import itertools
import math
from pathlib import Path
from typing import List, Optional, Sequence

import torch
from _losses import LIBRARIES, NEGATIVES, TOLERANCES, Setting, measure, missing
from _report import ArgumentParser, device_name, fill_in, output_file, positive_int, print_table, write_json
from matplotlib.axes import Axes

from mmdclpp.apis._cli import run_tool
from mmdclpp.errors import UserError
from mmdclpp.visualization.style import COLOURS, FAINT, INK, LABEL, TITLE, new_figure, save_figure
from mmdclpp.visualization.style import plain as quiet_axes

# For a CPU what it can do in minutes, for a GPU the sizes that need one.
DEFAULTS = {
    'cpu': dict(views=[8, 16, 32, 64], global_views=[2**n for n in range(8, 14)], rounds=5),
    'cuda': dict(views=[16, 64, 256], global_views=[2**n for n in range(13, 18)], rounds=20),
}
COLUMNS = ('median ms', 'quartiles', 'ms / plain', 'ms / bare', 'peak MiB', 'MiB / plain')
LOSS_COLOURS = dict(zip(('ours', 'recompute', 'plain', *LIBRARIES), COLOURS), bare=INK)
BUDGET_LINES = ('-', '--', ':', '-.')


def even_views(text: str) -> int:
    """A flag's value: the two views of two images or more."""
    if not (text.isascii() and text.isdigit() and int(text) >= 4 and int(text) % 2 == 0):
        raise argparse.ArgumentTypeError(f'{text!r} must be an even number of 4 or more, two views an image')
    return int(text)


def positive_number(text: str) -> float:
    """A flag's value: a finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f'{text!r} must be a number above 0')
    return number


def output_folder(text: str) -> Path:
    """A flag's value: a folder, or where one can be made."""
    path = Path(text)
    if not path.is_dir() and (path.exists() or not path.parent.is_dir()):
        raise argparse.ArgumentTypeError(f'{text!r} must be a folder, or a new one in a folder that exists')
    return path


def parse_args() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def words(value: object) -> str:
        return ' '.join(map(str, value)) if isinstance(value, list) else str(value)

    def add(name: str, meaning: str, default: object = None, **kwargs) -> None:
        """Add a flag; without a default it has one for each device."""
        of_devices = (f'{words(values[name.replace("-", "_")])} on {device}' for device, values in DEFAULTS.items())
        shown = words(default) if default else ', '.join(of_devices)
        parser.add_argument(f'--{name}', default=default, help=f'{meaning} (default: {shown})', **kwargs)

    numbers, names = dict(nargs='+', metavar='N'), dict(nargs='+', metavar='NAME')
    add('part', 'what to measure: dense, global or all', 'all', choices=('dense', 'global', 'all'), metavar='PART')
    add('views', 'V of the dense loss', type=even_views, **numbers)
    add('positions', 'K of the dense loss', [49, 196], type=positive_int, **numbers)
    add('dim', 'D of both losses', [128], type=positive_int, **numbers)
    add('pair-channels', 'channels of what is matched', 8, type=positive_int, metavar='N')
    add('negatives', f'of {", ".join(NEGATIVES)}', list(NEGATIVES), choices=NEGATIVES, **names)
    add('global-views', '2N of the global loss', type=even_views, **numbers)
    add('dtype', f'of {", ".join(TOLERANCES)}', ['float32'], choices=TOLERANCES, **names)
    add('device', 'cpu or cuda', 'cuda' if torch.cuda.is_available() else 'cpu', type=device_name)
    add('rounds', 'rounds that count', type=positive_int, metavar='N')
    add('max-plain-gib', 'leave out full logits larger than this', 6.0, type=positive_number, metavar='GIB')
    parser.add_argument(
        '--memory-budget',
        nargs='+',
        metavar='MIB',
        type=positive_number,
        default=[None],
        help="one or several budgets of ours and of recompute (default: the device's)",
    )
    parser.add_argument('--json', type=output_file, metavar='FILE', help='write the results to FILE too')
    parser.add_argument('--plot', type=output_folder, metavar='FOLDER', help='plot time and memory into FOLDER too')
    args = parser.parse_args()
    fill_in(args, DEFAULTS)
    if args.part != 'global' and 1 in args.positions and {'cross-view', 'densecl_pp_star'} & set(args.negatives):
        raise UserError('--positions 1 leaves no cross-view negatives: use 2 or more, or --negatives without them')
    return args


def settings_of(args: argparse.Namespace) -> List[List[Setting]]:
    """The grid, a list for each table."""
    dense = itertools.product(['dense'], args.negatives, args.dim, args.dtype)
    # Where a view has one position, all of those of other images are SimCLR's negatives.
    of_global = itertools.product(['global'], ['all'], args.dim, args.dtype)
    tables = []
    if args.part != 'global':
        tables += [[Setting(*one, v, k) for k in args.positions for v in args.views] for one in dense]
    if args.part != 'dense':
        tables += [[Setting(*one, v, 1) for v in args.global_views] for one in of_global]
    return tables


def print_results(title: str, rows: Sequence[dict], is_global: bool) -> None:
    """One row a loss and setting."""
    sizes = {'views': '2N'} if is_global else {'views': 'V', 'positions': 'K'}

    def cell(value: Optional[float], form: str) -> str:
        return '-' if value is None else format(value, form)

    print_table(
        title,
        ('loss', *sizes.values(), *COLUMNS),
        [
            (
                row['loss'],
                *(str(row[size]) for size in sizes),
                cell(row['median'], '.2f'),
                '-' if row['median'] is None else f'{row["lower"]:.2f} to {row["upper"]:.2f}',
                cell(row['to_plain'], '.3f'),
                cell(row['to_bare'], '.3f'),
                cell(row['peak_bytes'] and row['peak_bytes'] / 2**20, '.2f'),
                cell(row['memory_to_plain'], '.3f'),
            )
            for row in rows
        ],
    )


def plot_results(title: str, rows: Sequence[dict], is_global: bool, path: Path) -> None:
    """Draw time and memory against V and, with the largest V, against K; a size of one value has no panels."""
    names = {'views': 'views, 2N' if is_global else 'views, V', 'positions': 'positions a view, K'}
    varied = [size for size in names if len({row[size] for row in rows}) > 1] or ['views']
    figure = new_figure(4.2 * len(varied), 6.4)
    figure.suptitle(title, **TITLE)
    for size, column in zip(varied, figure.subplots(2, len(varied), squeeze=False, sharex='col').T):
        (other,) = set(names) - {size}
        largest = max(row[other] for row in rows)
        some = sorted((row for row in rows if row[other] == largest), key=lambda row: row[size])
        draw_curves(column[0], some, size, 'median', 1)
        draw_curves(column[1], some, size, 'peak_bytes', 2**20)
        ours = [(row[size], row['peak_bytes'] / 2**20) for row in some if row['loss'] == rows[0]['loss']]
        first, (last, height) = ours[0][0], ours[-1]
        linear = (height * first / last, height)
        column[1].plot((first, last), linear, ':', color=FAINT, zorder=0, label='linear growth')
        column[0].set_ylabel('forward and backward [ms]', **LABEL)
        column[1].set_ylabel('peak extra memory [MiB]', **LABEL)
        column[1].set_xlabel(names[size] + ('' if is_global else f' ({names[other][-1]} = {largest})'), **LABEL)
    # The times have all losses, the memory has the line of linear growth.
    labelled = {label: line for axes in figure.axes for line, label in zip(*axes.get_legend_handles_labels())}
    figure.legend(labelled.values(), labelled, loc='outside lower center', ncols=4, fontsize=8)
    save_figure(figure, path)


def draw_curves(axes: Axes, rows: Sequence[dict], size: str, value: str, unit: float) -> None:
    """One curve a loss on logarithmic axes."""
    quiet_axes(axes)
    axes.set(xscale='log', yscale='log')
    names = list(dict.fromkeys(row['loss'] for row in rows))
    budgets = dict.fromkeys(name.partition(', ')[2] for name in names if ', ' in name)
    lines = dict(zip(budgets, itertools.cycle(BUDGET_LINES)))
    for name in names:
        loss, _, budget = name.partition(', ')
        points = [(row[size], row[value] / unit) for row in rows if row['loss'] == name and row[value]]
        if points:
            line = lines.get(budget, '-')
            axes.plot(*zip(*points), line, marker='o', markersize=3, color=LOSS_COLOURS[loss], label=name)
    ticks = sorted({row[size] for row in rows})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(color=FAINT, alpha=0.3, linewidth=0.5)


def main() -> None:
    args = parse_args()
    tables = settings_of(args)
    count = itertools.count(1)
    results: List[dict] = []
    for settings in tables:
        part, negatives, dim, dtype = settings[0][:4]
        is_global = part == 'global'
        loss = part if is_global else f'{part} {negatives}'
        title = f'Loss: {loss}, D={dim}, {dtype}, {args.device}'
        rows: List[dict] = []
        for setting in settings:
            sizes = f'2N={setting.views}' if is_global else f'V={setting.views} K={setting.positions}'
            rows += measure(setting, args, f'{next(count)}/{sum(map(len, tables))} {loss} {sizes}')
        print_results(title, rows, is_global)
        if any(row['loss'] == 'plain' and row['median'] is None for row in rows):
            print(f'What holds full logits is left out where these take more than {args.max_plain_gib:g} GiB.')
        if is_global:
            for reason in filter(None, (missing(library, dim, args.device) for library in LIBRARIES)):
                print(reason)
        if args.plot:
            plot_results(title, rows, is_global, args.plot / f'{loss.replace(" ", "_")}_{dim}_{dtype}.png')
        results += rows
    write_json(args, results)


if __name__ == '__main__':
    run_tool(main)
