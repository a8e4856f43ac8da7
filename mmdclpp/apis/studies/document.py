"""What a report consists of, whatever it is written as."""

from pathlib import Path
from typing import Callable, List, Mapping, NamedTuple, Sequence, Union

from mmdclpp.apis._tables import Table, escaped, markdown


class Picture(NamedTuple):
    """A picture.

    Attributes:
        name (str): Of its file, without the suffix.
        caption (str): What it shows.
        draw (Callable): Draws it, given ``out_png``.
    """

    name: str
    caption: str
    draw: Callable[..., Path]


class Listing(NamedTuple):
    """A file's text, and what it is."""

    title: str
    folders: Sequence[str]
    text: str


# A paragraph, facts by their names, a table, a picture, or a listing.
Part = Union[str, Mapping[str, str], Table, Picture, Listing]


class Section(NamedTuple):
    """A heading, and what stands below it."""

    title: str
    parts: Sequence[Part]


class Document(NamedTuple):
    """A title, a first paragraph, and sections."""

    title: str
    lead: str
    sections: Sequence[Section]

    def parts(self, kind: type) -> List[Part]:
        """All parts of a kind."""
        return [part for section in self.sections for part in section.parts if isinstance(part, kind)]

    def markdown(self) -> str:
        """The document as Markdown, with pictures beside it."""
        texts = [f'# {escaped(self.title)}', escaped(self.lead)]
        for section in self.sections:
            texts.append(f'## {escaped(section.title)}')
            texts += [_markdown(part) for part in section.parts]
        return '\n\n'.join(texts) + '\n'


def _markdown(part: Part) -> str:
    if isinstance(part, str):
        return escaped(part)
    if isinstance(part, Table):
        return markdown(part, level=3)
    if isinstance(part, Picture):
        return f'![{escaped(part.caption)}]({part.name}.png)\n\n{escaped(part.caption)}'
    if isinstance(part, Listing):
        return f'- {escaped(part.title)}: {escaped(", ".join(part.folders))}'
    return '\n'.join(f'- {escaped(name)}: {escaped(text)}' for name, text in part.items())
