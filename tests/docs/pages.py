"""The code that pages of the documentation show."""

import re
from pathlib import Path
from typing import List, NamedTuple

DOCS = Path(__file__).resolve().parents[2] / 'docs'


class Example(NamedTuple):
    """A fenced block of a page: its ``page`` below ``docs/``, the ``line`` where it begins, its ``code``."""

    page: str
    line: int
    code: str

    def run(self) -> None:
        """Run it as a script in the current folder; a traceback names page and line."""
        code = '\n' * (self.line - 1) + self.code
        exec(compile(code, str(DOCS / self.page), 'exec'), {'__name__': '__main__'})

    def __str__(self) -> str:
        return f'{self.page}:{self.line}'


def examples(page: str, language: str = 'python') -> List[Example]:
    """The blocks of a page in one language, in order."""
    text = (DOCS / page).read_text(encoding='utf-8')
    blocks = re.finditer(rf'^```{language}\n(.*?)^```$', text, re.DOTALL | re.MULTILINE)
    return [Example(page, text.count('\n', 0, block.start(1)) + 1, block[1]) for block in blocks]
