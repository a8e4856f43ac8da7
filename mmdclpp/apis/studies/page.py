"""A report as one HTML page that needs nothing else."""

import base64
import struct
from pathlib import Path
from typing import Mapping

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mmdclpp.apis.studies.document import Document, Picture
from mmdclpp.visualization.style import DPI

_TEMPLATE = Path(__file__).with_name('page.html.jinja')
_DOTS = DPI / 96  # of a picture a CSS pixel


def html(document: Document, pictures: Mapping[str, Path]) -> str:
    """The page, its style and pictures inside.

    Args:
        document (Document): What it says.
        pictures (Mapping[str, Path]): Name of each picture -> its PNG.

    Returns:
        str: HTML.
    """

    def inlined(picture: Picture) -> Markup:
        content = pictures[picture.name].read_bytes()
        width, height = (round(side / _DOTS) for side in struct.unpack('>II', content[16:24]))  # PNG's first chunk
        data = base64.b64encode(content).decode()
        return Markup('src="data:image/png;base64,{}" width="{}" height="{}"').format(data, width, height)

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_TEMPLATE.read_text()).render(document=document, inlined=inlined)
