"""The views that a config trains on, as pictures."""

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np
from mmengine.dataset import default_collate
from mmengine.registry import DefaultScope
from mmengine.runner import set_random_seed
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmdclpp.apis._runner import ConfigLike, load_config, require_keys, set_work_dir
from mmdclpp.apis.own_images.prepare import prepare
from mmdclpp.datasets.epoch_sampler import EpochSampler
from mmdclpp.datasets.load_image import LoadImage
from mmdclpp.errors import UserError
from mmdclpp.registry import DATASETS, MODELS
from mmdclpp.utils.files import PathLike
from mmdclpp.utils.progress import ProgressBar
from mmdclpp.utils.random_states import random_states_kept
from mmdclpp.visualization.inputs import input_to_rgb
from mmdclpp.visualization.view_rows import ViewRow, view_rows


def browse(
    config: ConfigLike,
    out: Optional[PathLike] = None,
    number: int = 6,
    epochs: int = 2,
    seed: Optional[int] = None,
    cfg_options: Optional[Dict[str, Any]] = None,
    data: Optional[PathLike] = None,
) -> Path:
    """Draw images of a pretraining config, and the views that training with the same seed makes of them.

    Args:
        config (str, Path or Config): A pretraining config.
        out (str or PathLike, optional): The PNG to write. Defaults to None, ``views.png`` in the config's work dir.
        number (int): Images, spread over the data set. Defaults to 6.
        epochs (int): So many epochs' views of each. Defaults to 2.
        seed (int, optional): Of the draws. Defaults to None, the config's.
        cfg_options (dict, optional): New values by dotted key. Defaults to None.
        data (str or PathLike, optional): Your own images, as for :func:`~mmdclpp.apis.train`, which are surveyed.
            Defaults to None, the config's images.

    Returns:
        Path: The PNG.

    Raises:
        UserError: If the config's samples are not views of images, an image cannot be read, or a number is below 1.
    """
    if number < 1 or epochs < 1:
        raise UserError(f'number={number} and epochs={epochs} must be 1 or more')
    if data is None:
        cfg = load_config(config, cfg_options)
    else:
        cfg = prepare(config, data, options=cfg_options, dry_run=True)
    require_keys(cfg, ['train_dataloader.dataset', 'model'], 'browsed')
    if out is None:
        set_work_dir(cfg, None)
        out = Path(cfg.work_dir) / 'views.png'
    seed = (cfg.get('randomness') or {}).get('seed') or 0 if seed is None else seed
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdclpp')), random_states_kept():
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        preprocessor = MODELS.build(
            {'type': 'mmdclpp.ViewDataPreprocessor', **(cfg.model.get('data_preprocessor') or {})}
        )
        number = min(number, len(dataset))
        indices = [len(dataset) * index // number for index in range(number)]
        sampler = EpochSampler(dataset, seed=seed)
        with ProgressBar('views', epochs * number) as bar:
            batches = [_batch(dataset, indices, sampler, epoch, preprocessor, bar) for epoch in range(epochs)]
    rows = []
    for place, index in enumerate(indices):
        image = LoadImage().transform(dataset.get_data_info(index))['img'][..., ::-1]
        views = [view[place] for batch in batches for view in batch.views]
        rows.append(ViewRow(image, views, batches[0].samples[place].get('view_boxes')))
    return view_rows(rows, len(batches[0].views), out)


class _Batch(NamedTuple):
    views: List[np.ndarray]  # of each view of an image, those of all images
    samples: List[DataSample]


def _batch(
    dataset: Dataset, indices: List[int], sampler: EpochSampler, epoch: int, preprocessor: nn.Module, bar: ProgressBar
) -> _Batch:
    set_random_seed(sampler.seed + epoch)  # for transforms that the sampler cannot tell anything
    sampler.set_epoch(epoch)
    iter(sampler)
    samples = []
    for index in indices:
        samples.append(dataset[index])
        bar.advance()
    batch = default_collate(samples)
    views = batch.get('inputs')
    if not isinstance(views, list) or not all(isinstance(view, Tensor) for view in views):
        raise UserError('train_dataloader: the samples are not views of images: give a pretraining config')
    prepared = preprocessor(batch, True)
    return _Batch([input_to_rgb(view, preprocessor) for view in prepared['inputs']], batch['data_samples'])
