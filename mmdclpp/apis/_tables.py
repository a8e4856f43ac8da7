"""Tables of figures, as Markdown and in a terminal."""

import re
from typing import AbstractSet, Iterator, List, NamedTuple, Sequence

import rich.table
from rich.console import Console
from rich.text import Text

from mmdclpp.utils.seeds import OverSeeds, which_are_best

MISSING = '—'


class Cell(NamedTuple):
    """A text, and whether it is the best of its kind."""

    text: str
    best: bool = False


class Table(NamedTuple):
    """A table with what stands above and below it; its first ``num_labels`` columns are text, the others figures."""

    title: str
    columns: List[str]
    rows: List[Sequence[Cell]]
    num_labels: int = 1
    above: str = ''
    below: str = ''


def figures(values: Sequence[Sequence[float]], planned: Sequence[int]) -> List[Cell]:
    """One figure of several methods, the best in bold; where seeds are missing, how many there are.

    Args:
        values (Sequence[Sequence[float]]): Of each method, the finite values over its seeds; none if not measured.
        planned (Sequence[int]): Of each method, how many seeds there should be.

    Returns:
        List[Cell]: One for each.
    """
    spreads = [OverSeeds.of(seeds) if seeds else None for seeds in values]
    cells = []
    for seeds, number, spread, best in zip(values, planned, spreads, which_are_best(spreads)):
        incomplete = f' (n = {len(seeds)})' if len(seeds) < number else ''
        cells.append(Cell(MISSING) if spread is None else Cell(f'{spread}{incomplete}', best))
    return cells


def conventions(counts: AbstractSet[int], archs: AbstractSet[str]) -> str:
    """What the figures in all tables mean.

    Args:
        counts (AbstractSet[int]): How many seeds the methods have.
        archs (AbstractSet[str]): Their backbones.

    Returns:
        str: A few sentences.
    """
    spread = 'One seed each (n = 1): no standard deviation.'
    if counts - {1}:
        over = f'n = {next(iter(counts))} seeds' if len(counts) == 1 else 'n seeds'
        spread = f'Mean ± sample standard deviation (n - 1) over {over}.'
    backbone = f' Backbone: {next(iter(archs))}.' if len(archs) == 1 else ''
    return f'In percent. {spread} Bold: the best mean, as rounded. {MISSING}: not measured.{backbone}'


def markdown(table: Table, level: int = 2) -> str:
    """A table as Markdown, below a heading of ``level``."""
    rules = ['---' if index < table.num_labels else '--:' for index in range(len(table.columns))]
    lines = [[escaped(column) for column in table.columns], rules]
    for row in table.rows:
        lines.append([f'**{escaped(cell.text)}**' if cell.best else escaped(cell.text) for cell in row])
    text = '\n'.join(f'| {" | ".join(line)} |' for line in lines)
    parts = (f'{"#" * level} {escaped(table.title)}', escaped(table.above), text, escaped(table.below))
    return '\n\n'.join(part for part in parts if part)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, also within a table."""
    return re.sub(r'([\\|*`<\[\]])', r'\\\1', ' '.join(text.split()))


def print_table(table: Table, console: Console) -> None:
    """Print a table, as several where it is wider than the console."""
    console.print(table.title, style='bold', markup=False, highlight=False)
    for columns in _fitting_columns(table, console.width):
        shown = rich.table.Table()
        for index in columns:
            justify = 'left' if index < table.num_labels else 'right'
            shown.add_column(Text(table.columns[index]), justify=justify, overflow='fold')
        for row in table.rows:
            cells = (row[index] for index in columns)
            shown.add_row(*(Text(cell.text, style='bold' if cell.best else '') for cell in cells))
        console.print(shown)


def _fitting_columns(table: Table, width: int) -> Iterator[List[int]]:
    """Indices of the columns that fit side by side with the labels, one figure at the least."""
    widths = [
        max(len(text) for text in (column, *(row[index].text for row in table.rows))) + 3  # padding and rule
        for index, column in enumerate(table.columns)
    ]
    labels = list(range(table.num_labels))
    part: List[int] = []
    for index in range(table.num_labels, len(widths)):
        if part and 1 + sum(widths[each] for each in (*labels, *part, index)) > width:
            yield labels + part
            part = []
        part.append(index)
    yield labels + part
