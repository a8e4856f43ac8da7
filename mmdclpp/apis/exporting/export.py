"""From a checkpoint to a folder that another library loads."""

import dataclasses
import os
import shutil
from importlib import import_module
from pathlib import Path
from typing import Optional

from mmdclpp.apis._runner import load_config
from mmdclpp.apis.exporting.card import FILE as CARD
from mmdclpp.apis.exporting.card import model_card, read_metrics
from mmdclpp.apis.exporting.check import check_outputs
from mmdclpp.apis.exporting.model import build_model, described_config
from mmdclpp.apis.exporting.target import Target
from mmdclpp.apis.sources.checkpoint_config import config_of
from mmdclpp.apis.sources.read_sources import read_sources
from mmdclpp.errors import UserError
from mmdclpp.utils.files import PathLike, write_whole
from mmdclpp.utils.imports import import_optional

TARGETS = ('timm', 'mmpretrain', 'mmseg', 'hf', 'onnx', 'torchscript')
_GRAPHS = ('onnx', 'torchscript')
# Every file that an export may hold: a folder with others is none, and is not replaced.
_FILES = {
    CARD,
    'backbone.pth',
    'config.json',
    'config.py',
    'model.onnx',
    'model.pt',
    'model.safetensors',
    'preprocessor_config.json',
}


def export(
    checkpoint: PathLike,
    to: str,
    out: Optional[PathLike] = None,
    img_size: Optional[int] = None,
    backbone: Optional[str] = None,
    config: Optional[PathLike] = None,
    aggregate: Optional[str] = None,
    metrics: Optional[PathLike] = None,
    license: Optional[str] = None,
    fixed_size: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write the backbone of a checkpoint as a folder for another library, with a model card.

    The folder is loaded in that library and compared with the backbone before it gets its name: it is there whole and
    right, or not at all.

    Args:
        checkpoint (str or PathLike): A pretraining checkpoint.
        to (str): ``'timm'``, ``'mmpretrain'``, ``'mmseg'``, ``'hf'`` (transformers), ``'onnx'`` or ``'torchscript'``.
        out (str or PathLike, optional): The folder. Defaults to None, beside the checkpoint: ``epoch_800_timm``.
        img_size (int, optional): Side of the images that it is to take, in px; a vision transformer's position
            embedding is resized to it. Defaults to None, as pretrained.
        backbone (str, optional): ``'timm:NAME'`` or ``'mmpretrain:NAME'``: what ``checkpoint`` has weights of.
            Defaults to None, which reads it from the checkpoint's config.
        config (str or PathLike, optional): Config file of a checkpoint that holds none. Defaults to None.
        aggregate (str, optional): ``'cls'`` or ``'gap'``. Defaults to None, as pretrained.
        metrics (str or PathLike, optional): A ``results.json`` of ``tools/evaluate.py``, whose figures of these weights
            go to the model card. Defaults to None.
        license (str, optional): Licence of the weights, for the model card: ``'apache-2.0'``. Defaults to None, not
            stated.
        fixed_size (bool): Whether a graph (``'onnx'``, ``'torchscript'``) is for images of one size. Defaults to False:
            of any size that the backbone takes.
        overwrite (bool): Whether an export that is in ``out`` is replaced. Defaults to False.

    Returns:
        Path: The folder.

    Raises:
        UserError: If the checkpoint cannot be read, the library is missing or has no such model, ``out`` is there, or
            the library's outputs differ from the backbone's by more than 1e-4 of the largest.
    """
    target = _target(to)
    if Path(checkpoint).is_dir():
        raise UserError(f'checkpoint: {checkpoint} is a folder: give the file in it')
    config = None if config is None else str(config)
    (source,) = read_sources([str(checkpoint)], backbone, config, aggregate=aggregate)
    out = _place(out, source.checkpoint, to, overwrite)
    _check_characters(out, target)
    cfg = None
    if config is not None:
        cfg = load_config(config).pretty_text
    elif backbone is not None:  # the file may hold the config of another model
        cfg = described_config(source)
    if fixed_size and to not in _GRAPHS:
        raise UserError(f'fixed_size is for {" and ".join(_GRAPHS)}: leave it out')
    model = dataclasses.replace(build_model(source, cfg, img_size), fixed_size=fixed_size)
    if aggregate is not None:
        neck = config_of(source.name, model.meta).model.get('neck')
        place, value = ("['aggregate']", repr(aggregate)) if neck else ('', f'dict(aggregate={aggregate!r})')
        model.meta['cfg'] += f"model['neck']{place} = {value}  # when exported\n"
    found = read_metrics(str(metrics), model) if metrics is not None else None

    temporary = _beside(out, 'tmp')
    try:
        temporary.mkdir(parents=True)
        target.write(model, temporary)
        differences = check_outputs(target, model, temporary)
        write_whole(temporary / CARD, model_card(model, target, out.name, differences, found, license))
        _rename(temporary, out)
    except OSError as error:
        if error.errno is None:  # the system's have a number; transformers raises this class for much
            raise
        raise UserError(f'out: {out} cannot be written ({error.strerror}): choose another place') from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print(f'{source.name}, {source.arch}, for {target.library}: {out}')
    for file in sorted(out.iterdir()):
        print(f'  {file.name:24} {file.stat().st_size / 2**20:8.2f} MiB')
    for (height, width), difference in differences.items():
        print(
            f'  outputs in {target.library} differ by at most {difference:.2g} of the largest at {height} × {width} px'
        )
    return out


def _target(to: str) -> Target:
    if to not in TARGETS:
        raise UserError(f'to={to!r} is unknown: use one of {", ".join(TARGETS)}')
    target = import_module(f'mmdclpp.apis.exporting.to_{to}').TARGET
    for package in target.packages:
        import_optional(package, 'export')
    return target


def _place(out: Optional[PathLike], checkpoint: Optional[str], to: str, overwrite: bool) -> Path:
    """The folder to be written, which is free, or may be replaced."""
    if out is None and (checkpoint is None or '://' in checkpoint):
        raise UserError('out: name a folder for the export of a model that is in no file here')
    out = Path(checkpoint).with_name(f'{Path(checkpoint).stem}_{to}') if out is None else Path(out)
    # A link is kept, and what it points to is written; of '.' and '..' only the whole path has a name.
    out = out.resolve() if out.is_symlink() or out.name in ('', '..') else out
    if out.is_dir() and not any(out.iterdir()):
        return out
    if out.exists() and not overwrite:
        raise UserError(f'out: {out} is there already: name another folder, or replace it with overwrite')
    if out.exists() and not (out.is_dir() and {file.name for file in out.iterdir()} <= _FILES):
        raise UserError(f'out: {out} holds more than an export: name another folder')
    return out


def _check_characters(out: Path, target: Target) -> None:
    found = [character for character in target.not_in_path if character in str(out.resolve())]
    if found:
        raise UserError(
            f'out: {out.resolve()} has a {found[0]} in its path, which mmengine pastes into Python code when it reads '
            'the config: name another folder'
        )


def _beside(out: Path, kind: str) -> Path:
    return out.with_name(f'.{out.name}.{os.getpid()}.{kind}')


def _rename(temporary: Path, out: Path) -> None:
    """Give a folder its name, in place of an older one, if there is one."""
    if out.exists():
        older = _beside(out, 'old')
        os.replace(out, older)
        os.replace(temporary, out)
        shutil.rmtree(older)
    else:
        os.replace(temporary, out)
