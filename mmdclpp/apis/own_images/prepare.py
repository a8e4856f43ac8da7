"""From a config and a user's images to a config that is ready to train on them."""

import json
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_main_process

from mmdclpp.apis._runner import ConfigLike, load_config, require_keys, set_work_dir, start_processes
from mmdclpp.apis.own_images.images import (
    dataset_of,
    list_images,
    other_files,
    random_crops,
    require_pretraining,
    set_images,
)
from mmdclpp.apis.own_images.initial_weights import FILE as INITIAL_WEIGHTS
from mmdclpp.apis.own_images.initial_weights import initial_weights, is_densecl_pp, set_initial_weights
from mmdclpp.apis.own_images.machine import Machine, this_machine
from mmdclpp.apis.own_images.model_cost import model_cost
from mmdclpp.apis.own_images.settings import (
    Images,
    Setting,
    as_options,
    changes,
    describe_settings,
    go_on_with,
    suggest_settings,
)
from mmdclpp.datasets.exclude_file import exclude_lines
from mmdclpp.datasets.preparation.survey import Survey, describe_survey, survey_images
from mmdclpp.datasets.unlabelled_images import UnlabelledImages
from mmdclpp.errors import UserError
from mmdclpp.utils.files import PathLike, write_whole

LEFT_OUT, SURVEY, SETTINGS = 'left_out.txt', 'survey.txt', 'settings.json'
_VIEW_SIZE = 224  # of pipelines whose crops are not known


class _Found(NamedTuple):
    """What one process finds out for all.

    Attributes:
        changes (Dict[str, Any]): New values by dotted key.
        left_out (bool): Whether some images are left out.
    """

    changes: Dict[str, Any]
    left_out: bool


def prepare(
    config: ConfigLike,
    data: Optional[PathLike] = None,
    init: Optional[str] = None,
    work_dir: Optional[str] = None,
    options: Optional[Dict[str, Any]] = None,
    launcher: str = 'none',
    resume: bool = False,
    dry_run: bool = False,
) -> Config:
    """Set a config's images, the settings that suit them, and the weights to begin with.

    The first process surveys, prints what it finds and writes it to the work dir: ``survey.txt``, ``left_out.txt`` and
    ``settings.json``, which a resumed run takes as they are.

    Args:
        config (str, Path or Config): The config.
        data (str or PathLike, optional): See :func:`~mmdclpp.apis.own_images.images.dataset_of`. Defaults to None,
            which leaves the config's images and settings.
        init (str, optional): See :func:`~mmdclpp.apis.own_images.initial_weights.read_init`. Defaults to None, which
            leaves the config's backbone.
        work_dir (str, optional): See :func:`mmdclpp.apis.train`. Defaults to None.
        options (dict, optional): The user's new values by dotted key, which come before ours. Defaults to None.
        launcher (str): What started the processes. Defaults to 'none'.
        resume (bool): Whether to go on with what an earlier run found out in this work dir. Defaults to False.
        dry_run (bool): Whether only to survey and print, and to write nothing. Defaults to False.

    Returns:
        Config: Ready to be trained.

    Raises:
        UserError: If images or weights cannot be used, or are not for this config.
    """
    base, options = load_config(config), options or {}
    if dry_run and data is None:
        raise UserError('dry_run: there are no images to survey: give data')
    require_keys(base, ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'), 'trained')
    dataset = None if data is None else dataset_of(data)
    if dataset is not None:
        require_pretraining(base, 'data')
        set_images(base, dataset)
    set_work_dir(base, work_dir)
    cfg = load_config(base, options)
    start_processes(launcher)
    if init is not None:
        size = _view_size(cfg)
        kept = Path(cfg.work_dir, INITIAL_WEIGHTS)
        source = str(kept) if resume and kept.is_file() else init
        set_initial_weights(base, _on_first_process(lambda: initial_weights(source, cfg, size, not dry_run)), size)
        cfg = load_config(base, options)
    if dataset is not None:
        pretrained = init is not None
        found = _on_first_process(
            lambda: _find_out(cfg, base, dataset, options, this_machine(launcher), pretrained, resume, dry_run)
        )
        cfg.merge_from_dict(found.changes)
        if found.left_out:
            dataset_cfg, ours = cfg.train_dataloader.dataset, str(Path(cfg.work_dir, LEFT_OUT))
            given = dataset_cfg.get('exclude_file') or []  # by --cfg-options
            dataset_cfg.exclude_file = [*([given] if isinstance(given, str) else given), ours]
    return cfg


def _on_first_process(function: Callable[[], Any]) -> Any:
    """The result of a function, called by the first process for all; its UserError is raised in each."""
    result: List[Any] = [None, None]
    if is_main_process():
        try:
            result = [function(), None]
        except UserError as error:
            result = [None, str(error)]
    broadcast_object_list(result)
    if result[1] is not None:
        raise UserError(result[1])
    return result[0]


def _view_size(cfg: Config) -> int:
    sizes = [crop['scale'] for _, crop in random_crops(cfg)]
    return max((size if isinstance(size, int) else max(size) for size in sizes), default=_VIEW_SIZE)


def look_at(dataset: Dict[str, str]) -> Tuple[UnlabelledImages, Survey]:
    """Survey a user's images.

    Args:
        dataset (Dict[str, str]): As :func:`~mmdclpp.apis.own_images.images.dataset_of` gives it.

    Returns:
        tuple: The images, and what was found out about them.

    Raises:
        UserError: If none can be read.
    """
    images = list_images(dataset)
    survey = survey_images([images[index]['img_path'] for index in range(len(images))], other_files(dataset))
    if survey.usable == 0:
        reason = survey.broken[0][1]
        raise UserError(f'data: no image of {_place(images)} can be read, of the first the reason is: {reason}')
    return images, survey


def _place(images: UnlabelledImages) -> str:
    return images.ann_file or images.img_prefix


def settings_for(
    cfg: Config, base: Config, images: Images, machine: Machine, options: Dict[str, Any], pretrained: bool
) -> List[Setting]:
    """What :func:`~mmdclpp.apis.own_images.settings.suggest_settings` chooses; the model's cost is counted."""
    cost = model_cost(cfg.model, _view_size(cfg)) if is_densecl_pp(cfg) else None
    return suggest_settings(cfg, base, images, machine, cost, options, pretrained)


def _find_out(
    cfg: Config,
    base: Config,
    dataset: Dict[str, str],
    options: Dict[str, Any],
    machine: Machine,
    pretrained: bool,
    resume: bool,
    dry_run: bool,
) -> _Found:
    work_dir = Path(cfg.work_dir)
    if resume and (work_dir / SETTINGS).is_file():
        before = json.loads((work_dir / SETTINGS).read_text())
        if before['data'] == dataset:
            print(f'{work_dir / SETTINGS}: images and settings as before; delete it to survey the images anew')
            return _Found(go_on_with(before['settings'], options), before['left_out'])

    images, survey = look_at(dataset)
    found = Images(survey.usable, survey.median_pixels())
    settings = settings_for(cfg, base, found, machine, options, pretrained)
    lines = [
        f'{_place(images)}: {survey.total:,} images',
        *describe_survey(survey, _view_size(cfg), images.relative_path),
        '',
        f'Settings for {survey.usable:,} images and {machine}:',
        *describe_settings(settings),
        'The same, to be changed and pasted:',
        as_options(settings),
        '',
    ]
    print('\n'.join(lines), flush=True)
    if not dry_run:
        left_out = exclude_lines((images.relative_path(path), reason) for path, reason in survey.broken)
        (work_dir / LEFT_OUT).unlink(missing_ok=True)
        if left_out:
            write_whole(work_dir / LEFT_OUT, left_out)
        write_whole(work_dir / SURVEY, '\n'.join(lines))
        values = {setting.key: setting.value for setting in settings}
        content = dict(data=dataset, left_out=bool(left_out), settings=values)
        write_whole(work_dir / SETTINGS, json.dumps(content, indent=2) + '\n')
    return _Found(changes(settings), bool(survey.broken))
