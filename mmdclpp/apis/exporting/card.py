"""The model card: what an export is, where it comes from, what was measured, and how it is loaded."""

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from mmdclpp.apis.exporting.model import ExportedModel, Size
from mmdclpp.apis.exporting.target import Target
from mmdclpp.apis.sources.checkpoint_config import config_of
from mmdclpp.errors import UserError
from mmdclpp.version import __version__

FILE = 'README.md'
_LIBRARY_NAMES = {'onnxruntime': 'onnx', 'torchscript': 'pytorch'}
_MAIN_METRICS = ('mAP', 'OF1', 'mIoU')


def model_card(
    model: ExportedModel,
    target: Target,
    name: str,
    differences: Mapping[Size, float],
    metrics: Optional[Mapping[str, Any]] = None,
    license: Optional[str] = None,
) -> str:
    """Write the card.

    Args:
        model (ExportedModel): The model.
        target (Target): The library that it was exported to.
        name (str): The folder's name.
        differences (Mapping[Size, float]): What the comparison in the library found.
        metrics (Mapping[str, Any], optional): What :func:`read_metrics` found. Defaults to None.
        license (str, optional): Of the weights. Defaults to None, not stated.

    Returns:
        str: Markdown, with the header that model hubs read.
    """
    source = model.source
    usage = target.usage(model, name).rstrip()
    note = target.note(model) if target.note else ''
    header = dict(
        library_name=_LIBRARY_NAMES.get(target.library, target.library),
        license=license or 'unknown',
        pipeline_tag='image-feature-extraction',
        tags=['self-supervised', 'contrastive-learning', 'mmdclpp'],
    )
    checked = '; '.join(
        f'{value:.2g} of the largest at {height} × {width} px' for (height, width), value in differences.items()
    )
    parts = [
        '---\n' + ''.join(f'{key}: {json.dumps(value)}\n' for key, value in header.items()) + '---',
        f'# {source.name}, {source.arch}',
        'A backbone without head, pretrained without labels by [mmdclpp](https://arxiv.org/abs/2210.05063) '
        f'{__version__}, for {target.library}.',
        _table(_facts(model), ('', '')),
        '## Loading',
        f'From the folder that holds `{name}`:',
        f'```python\n{usage}\n```',
        note,
        f'Loaded so and compared with the original, on random images, its outputs differ by at most {checked}.',
        '## Data',
        _data(model),
        '## Metrics',
        _metrics(metrics) if metrics else 'Not stated.',
        '## Licence',
        f'Of the weights: {license}.' if license else 'Of the weights: not stated by who exported them.',
        '## Training config',
        f'```python\n{model.meta["cfg"].rstrip()}\n```',
    ]
    return '\n\n'.join(part for part in parts if part) + '\n'


def read_metrics(file: str, model: ExportedModel) -> Dict[str, Any]:
    """The evaluations of a model in the ``results.json`` of ``tools/evaluate.py``.

    Raises:
        UserError: If the file is none, or has no evaluation of these weights.
    """
    try:
        entries = json.loads(Path(file).read_text())['models']
    except FileNotFoundError as error:
        raise UserError(f'metrics: {file} does not exist: check the path') from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f'metrics: {file} is no results.json of tools/evaluate.py: give one') from error
    fingerprint = model.source.fingerprint(model.backbone)
    found = next((entry for entry in entries if entry.get('fingerprint') == fingerprint), None)
    if found is None:
        raise UserError(
            f'metrics: {file} has no evaluation of these weights: evaluate this checkpoint, or leave it out'
        )
    return found['evaluations']


def _facts(model: ExportedModel) -> List[List[str]]:
    source, meta = model.source, model.meta
    parameters = sum(parameter.numel() for parameter in model.backbone.parameters())
    mean, std = (', '.join(f'{value:.4g}' for value in model.unit_normalise[key]) for key in ('mean', 'std'))
    facts = {
        'method': source.name,
        'architecture': source.arch,
        'parameters': f'{parameters:,}',
        'channels': model.channels,
        'global feature': {'cls': 'class token', 'gap': 'mean of the positions'}[source.aggregate],
        'images': f'{source.image_size} × {source.image_size} px, {"RGB" if source.normalise["to_rgb"] else "BGR"}',
        'mean': f'{mean} (of images from 0 to 1)',
        'standard deviation': std,
        'epochs': meta.get('epoch'),
        'iterations': meta.get('iter'),
        'seed': meta.get('seed'),
    }
    return [[key, str(value)] for key, value in facts.items() if value is not None]


def _data(model: ExportedModel) -> str:
    loader = config_of(model.source.name, model.meta).get('train_dataloader') or {}
    found = list(_datasets(loader.get('dataset')))
    return '\n'.join(f'- {entry}' for entry in found) if found else 'Not stated by the config.'


def _datasets(part: Any):
    """Each data set in the config of one, or of several put together, in words."""
    if isinstance(part, Mapping):
        if 'type' in part and not part.get('datasets') and not part.get('dataset'):
            where = ', '.join(f'{key} `{part[key]}`' for key in ('data_root', 'ann_file') if part.get(key))
            yield f'{str(part["type"]).split(".")[-1]}{": " if where else ""}{where}'
            return
        part = [part.get('datasets') or part.get('dataset')]
    if isinstance(part, (list, tuple)):
        for entry in part:
            yield from _datasets(entry)


def _metrics(evaluations: Mapping[str, Any]) -> str:
    rows = []
    for name, entry in evaluations.items():
        figures = {key: entry['metrics'][key] for key in _MAIN_METRICS if entry['metrics'].get(key) is not None}
        rows.append(
            [name, ', '.join(f'{key} {value:.1f}' for key, value in figures.items()), entry.get('protocol', '')]
        )
    return _table(rows, ('evaluation', 'in percent', 'protocol'))


def _table(rows: List[List[str]], columns) -> str:
    lines = [columns, ['---'] * len(columns), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)
