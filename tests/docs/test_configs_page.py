"""docs/configs.md has every config and every key of the model, as they are."""

import inspect
import re
from pathlib import Path

import pytest

from mmdclpp.registry import MODELS

from .pages import DOCS

CONFIGS = DOCS.parent / 'configs'
PAGE = (DOCS / 'configs.md').read_text(encoding='utf-8')


def row(config: Path) -> str:
    """A config's row: its link, and the first sentence of the comment that opens it."""
    comment = re.match(r'(#.+\n)+', config.read_text(encoding='utf-8'))[0]
    purpose = ' '.join(line.lstrip('# ') for line in comment.splitlines())
    purpose = re.split(r'\. |\.?$', purpose)[0].replace('*', r'\*')
    return f'| [`{config.name}`](../configs/{config.relative_to(CONFIGS).as_posix()}) | {purpose} |'


def test_the_page_lists_every_config_with_its_purpose():
    rows = [line for line in PAGE.splitlines() if '](../configs/' in line and line.startswith('| [')]
    assert set(rows) == {row(config) for config in CONFIGS.rglob('*.py')}
    assert len(rows) == len(set(rows))


def keys(heading: str) -> dict:
    """Keys and defaults in the tables below a heading."""
    section = re.split(r'^#+ ', PAGE.partition(f'# {heading}\n')[2], flags=re.MULTILINE)[0]
    rows = re.findall(r'^\| `([\w.]+)` \| (.+?) \|', section, re.MULTILINE)
    return {key.rpartition('.')[2]: default.strip('`') for key, default in rows}


def shown(default: object) -> str:
    """A default as a config would have it."""
    if default is inspect.Parameter.empty:
        return 'required'
    return re.sub(r"\{'type': '(\w+)'\}", r"dict(type='\1')", repr(default))


@pytest.mark.parametrize(
    'heading, parts',
    {
        'The model': ['DenseCLPlusPlus'],
        'The neck': ['DenseCLPlusPlusNeck'],
        'Its projectors': ['MLPProjector'],
        'The global head': ['GlobalInfoNCEHead'],
        'The dense head': ['DenseInfoNCEHead'],
        'Negatives': ['GuidedNegatives', 'CrossViewNegatives'],
        'Decoders': ['ConvDecoder', 'TransformerDecoder'],
    }.items(),
)
def test_the_page_has_the_keys_of_a_part_with_their_defaults(heading, parts):
    signatures = [inspect.signature(MODELS.get(part)).parameters.values() for part in parts]
    expected = {parameter.name: shown(parameter.default) for parameters in signatures for parameter in parameters}
    expected.pop('init_cfg', None)  # mmengine's, of every part
    assert keys(heading) == expected
