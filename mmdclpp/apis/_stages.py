"""Headings that say how far a long command is."""

from rich.console import Console
from rich.markup import escape


class Stages:
    """Number the parts of a job as they begin.

    Args:
        console (Console): Where to print.
        total (int): How many parts there are.
    """

    def __init__(self, console: Console, total: int) -> None:
        self.console, self.total, self.number = console, total, 0

    def begin(self, title: str) -> None:
        """Print the heading of the next part."""
        self.number += 1
        self.console.print(f'[bold]\\[{self.number}/{self.total}] {escape(title)}[/bold]', soft_wrap=True)
