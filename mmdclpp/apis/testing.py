"""Evaluate a checkpoint with a config."""

from pathlib import Path
from typing import Any, Dict, Optional

import mmengine
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import DumpResults
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner

from mmdclpp.apis._runner import (
    ConfigLike,
    build_runner,
    load_config,
    require_checkpoint,
    require_keys,
    set_dataloaders,
    set_work_dir,
)
from mmdclpp.errors import UserError

OUT_SUFFIXES = {'pred': ('.pkl', '.pickle'), 'metrics': ('.json', '.yaml', '.yml', '.pkl', '.pickle')}


def test(
    config: ConfigLike,
    checkpoint: str,
    work_dir: Optional[str] = None,
    amp: bool = False,
    tta: bool = False,
    out: Optional[str] = None,
    out_item: str = 'pred',
    show_dir: Optional[str] = None,
    show: bool = False,
    interval: int = 1,
    wait_time: float = 2.0,
    pin_memory: bool = True,
    cfg_options: Optional[Dict[str, Any]] = None,
    launcher: str = 'none',
) -> Dict[str, float]:
    """Evaluate a checkpoint on the test set of a config.

    Args:
        config (str, Path or Config): A config file or a loaded config.
        checkpoint (str): Path or URL of the checkpoint. It must hold every parameter of the model.
        work_dir (str, optional): Where the metrics go. Defaults to None, the config's ``work_dir`` or else
            ``work_dirs/<folder>/<name>`` of the config.
        amp (bool): Whether to predict in mixed precision. Defaults to False.
        tta (bool): Whether to average over the augmentations of the config's ``tta_model`` and
            ``tta_pipeline``. Defaults to False.
        out (str, optional): A ``.pkl`` file, for metrics also ``.json`` or ``.yaml``, to write to. Defaults to None.
        out_item (str): What ``out`` receives: ``'pred'`` or ``'metrics'``. Defaults to ``'pred'``.
        show_dir (str, optional): Where to draw predictions. Defaults to None.
        show (bool): Whether to show predictions in a window. Defaults to False.
        interval (int): Draw every so many-th sample. Defaults to 1.
        wait_time (float): How long a window stays, in seconds. Defaults to 2.0.
        pin_memory (bool): Whether to pin batches in memory, where there is a GPU. Defaults to True.
        cfg_options (dict, optional): New values by dotted key. Defaults to None.
        launcher (str): ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``. Defaults to ``'none'``.

    Returns:
        Dict[str, float]: The metrics by name.

    Raises:
        UserError: If the config, an option or the checkpoint cannot be used.
    """
    cfg = load_config(config, cfg_options)
    require_keys(cfg, ('model', 'test_dataloader', 'test_cfg', 'test_evaluator'), 'tested')
    if out_item not in OUT_SUFFIXES:
        raise UserError(f'out_item={out_item!r} is unknown: use one of {", ".join(map(repr, OUT_SUFFIXES))}')
    if out is not None and Path(out).suffix not in OUT_SUFFIXES[out_item]:
        raise UserError(f'out={out}: {out_item} can be written to {", ".join(OUT_SUFFIXES[out_item])}: rename the file')
    set_work_dir(cfg, work_dir)
    set_dataloaders(cfg, pin_memory)
    cfg.load_from = require_checkpoint(checkpoint, 'checkpoint')
    cfg.resume = False
    if amp:
        cfg.test_cfg.fp16 = True
    if show or show_dir is not None:
        _set_visualization(cfg, show_dir and str(show_dir), show, interval, wait_time)
    if tta:
        require_keys(cfg, ('tta_model', 'tta_pipeline'), 'tested with augmentation')
        cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline

    runner = build_runner(cfg, launcher)
    runner.register_hook(RequireAllParametersHook(), priority='VERY_LOW')
    if out is not None and out_item == 'pred':
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=str(out)))
    metrics = runner.test()
    if out is not None and out_item == 'metrics' and runner.rank == 0:
        mmengine.dump(metrics, str(out))
    return metrics


def _set_visualization(cfg: Config, show_dir: Optional[str], show: bool, interval: int, wait_time: float) -> None:
    hook = cfg.get('default_hooks', {}).get('visualization')
    if hook is None:
        raise UserError('show_dir, show: no predictions are drawn without default_hooks.visualization: add this hook')
    hook.update(show=show, interval=interval, wait_time=wait_time)
    if hook.type.split('.')[-1] == 'VisualizationHook':  # mmpretrain's
        hook.update(enable=True, out_dir=show_dir)
    else:  # mmseg's and mmdet's write below the visualizer's folder
        hook.draw = True
        if show_dir is not None:
            cfg.visualizer.save_dir = show_dir


class RequireAllParametersHook(Hook):
    """Refuse a checkpoint that leaves a part of the model at its random start.

    mmengine only warns of it, and the metrics that follow look like a result.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Raise a UserError if a parameter is missing or has another shape."""
        model = runner.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        path = runner.cfg.load_from
        state = checkpoint.get('state_dict', checkpoint)
        try:
            missing = model.load_state_dict(
                {key.removeprefix('module.'): value for key, value in state.items()}, strict=False
            ).missing_keys
        except RuntimeError as error:
            reason = str(error).splitlines()[1].strip()
            raise UserError(f'checkpoint {path} does not fit the model of the config: {reason}') from error
        if missing:
            listed = ', '.join(missing[:3]) + (f' and {len(missing) - 3} more' if len(missing) > 3 else '')
            raise UserError(f'checkpoint {path} lacks {listed}: test a checkpoint that was trained with this config')
