"""HTML pages that need nothing but themselves."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

_TEMPLATES = Path(__file__).with_name('templates')
_JPEG_QUALITY = 88


def render(template: str, **values: Any) -> str:
    """Fill a template of this package.

    Args:
        template (str): Its file name.
        values: What it shows; text is escaped, and ``tojson`` makes data safe within a script.

    Returns:
        str: HTML.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=lambda name: name is not None and name.endswith('.html.jinja'),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def inlined(image: np.ndarray) -> str:
    """A uint8 RGB image as a JPEG in a ``data:`` address."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, format='jpeg', quality=_JPEG_QUALITY)
    return 'data:image/jpeg;base64,' + base64.b64encode(content.getvalue()).decode()


def packed(values: np.ndarray) -> str:
    """An array's bytes, little-endian and row by row, in base64."""
    values = np.ascontiguousarray(values)
    return base64.b64encode(values.astype(values.dtype.newbyteorder('<')).tobytes()).decode()
