"""What a pretrained model computes of two views of some images, made as in its training."""

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmengine.runner import set_random_seed
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmdclpp.apis.sources.checkpoint_config import config_of, require_registered
from mmdclpp.apis.sources.model_source import ModelSource, read_checkpoint
from mmdclpp.errors import UserError
from mmdclpp.evaluation.geometric_matches import ViewGeometry
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.models.backbones.pretrained import load_part
from mmdclpp.registry import DATASETS, MODELS
from mmdclpp.utils.files import PathLike
from mmdclpp.utils.progress import ProgressBar
from mmdclpp.utils.random_states import random_states_kept

_PROJECTORS = ('global_projector', 'dense_projector')
# The same pixels, with where they come from.
_WITH_GEOMETRY = {'RandomResizedCrop': 'RandomResizedCropWithBox', 'MultiView': 'MultiViewWithGeometry'}
_PACK = dict(type='PackInputs', meta_keys=('view_boxes', 'view_flips', 'view_photometric'))


class Views(NamedTuple):
    """Features of ``2·B`` views, first views then second views, float32 on the CPU.

    Attributes:
        positions (Tensor): The backbone's, shape ``(2·B, K, C)``.
        aggregate (Tensor): The backbone's global features, as in pretraining, shape ``(2·B, C)``.
        grid (Tuple[int, int]): Rows and columns of the positions.
        dense_projections (Tensor, optional): Shape ``(2·B, K', D)``.
        global_projections (Tensor, optional): Shape ``(2·B, D)``.
        projection_grid (Tuple[int, int]): Rows and columns of the dense projections.
        geometry (ViewGeometry, optional): Where in the images the views lie, if the pipeline can tell.
    """

    positions: Tensor
    aggregate: Tensor
    grid: Tuple[int, int]
    dense_projections: Optional[Tensor]
    global_projections: Optional[Tensor]
    projection_grid: Tuple[int, int]
    geometry: Optional[ViewGeometry]


def compute_views(source: ModelSource, images: PathLike, num_images: int, seed: int, batch_size: int) -> Views:
    """Make two views of each image by the training pipeline of a checkpoint, and compute its features of them.

    Random states are afterwards as before.

    Args:
        source (ModelSource): The model, read from a pretraining checkpoint.
        images (str or PathLike): A folder of images, or a text file with one path a line, relative to its folder.
        num_images (int): So many images at most.
        seed (int): Decides images and views.
        batch_size (int): Images a step.

    Raises:
        UserError: If there are fewer than two images, one cannot be read, or the pipeline does not make two views.
    """
    content = read_checkpoint(source.checkpoint)
    cfg = config_of(source.checkpoint, content['meta'])
    with random_states_kept(), DefaultScope.overwrite_default_scope('mmdclpp'):
        dataset = _dataset(cfg, images, source.checkpoint)
        number = min(num_images, len(dataset))
        if number < 2:
            raise UserError(f'images: of {images} there is one image to compare with none: give 2 or more')
        indices = np.sort(np.random.default_rng(seed).choice(len(dataset), number, replace=False)).tolist()
        backbone = source.build()
        neck = _neck(cfg, content['state_dict'], source.checkpoint)
        set_random_seed(seed)
        return _compute(source, backbone, neck, dataset, indices, batch_size)


def _dataset(cfg: Config, images: PathLike, checkpoint: str) -> Dataset:
    pipeline = _find_pipeline((cfg.get('train_dataloader') or {}).get('dataset') or {})
    if pipeline is None:
        raise UserError(f'checkpoint {checkpoint}: its config has no train_dataloader with a pipeline to make views by')
    place = Path(images)
    if not place.exists():
        raise UserError(f'images: {images} does not exist: give a folder, or a text file with one path a line')
    where = dict(data_root=str(place)) if place.is_dir() else dict(data_root=str(place.parent), ann_file=place.name)
    require_registered(pipeline, checkpoint)
    transforms = [_recording(transform) for transform in pipeline if not transform['type'].endswith('PackInputs')]
    return DATASETS.build(dict(type='UnlabelledImages', pipeline=[*transforms, _PACK], **where))


def _find_pipeline(dataset: Dict[str, Any]) -> Optional[List[dict]]:
    """The pipeline of a data set, or of the first one in it."""
    if 'pipeline' in dataset:
        return dataset['pipeline']
    inner = dataset.get('dataset') or next(iter(dataset.get('datasets') or []), None)
    return None if inner is None else _find_pipeline(inner)


def _recording(part: Any) -> Any:
    """A pipeline with our transforms, which tell where views lie, in place of mmpretrain's."""
    if isinstance(part, (list, tuple)):
        return [_recording(entry) for entry in part]
    if isinstance(part, dict):
        part = {key: _recording(value) for key, value in part.items()}
        name = str(part.get('type')).removeprefix('mmpretrain.')
        return {**part, 'type': _WITH_GEOMETRY[name]} if name in _WITH_GEOMETRY else part
    return part


def _neck(cfg: Config, state_dict: Dict[str, Tensor], checkpoint: str) -> Optional[nn.Module]:
    """The neck with the projectors that were trained. None of methods with another one."""
    neck = cfg.model.get('neck') or {}
    if neck.get('type', '').removeprefix('mmdclpp.') != 'DenseCLPlusPlusNeck':
        return None
    require_registered(neck, checkpoint)
    trained = {name for name in _PROJECTORS if any(key.startswith(f'neck.{name}.') for key in state_dict)}
    neck = MODELS.build({**neck, **{name: None for name in _PROJECTORS if name not in trained}})
    if trained:
        load_part(neck, checkpoint, 'neck.')
    return neck.eval()


@torch.no_grad()
def _compute(
    source: ModelSource,
    backbone: nn.Module,
    neck: Optional[nn.Module],
    dataset: Dataset,
    indices: Sequence[int],
    batch_size: int,
) -> Views:
    device = get_device()
    backbone, neck = backbone.to(device), neck and neck.to(device)
    preprocessor = MODELS.build(dict(type='ViewDataPreprocessor', **source.normalise)).to(device)
    parts: List[Dict[str, Tensor]] = []
    samples: List[Any] = []
    with ProgressBar(source.name, len(indices)) as bar:
        for start in range(0, len(indices), batch_size):
            batch = default_collate([dataset[index] for index in indices[start : start + batch_size]])
            if not isinstance(batch['inputs'], list) or len(batch['inputs']) != 2:
                raise UserError(f'checkpoint {source.checkpoint}: its pipeline does not make two views an image')
            batch = preprocessor(batch)
            features = extract_features(backbone, torch.cat(batch['inputs']))
            part = dict(positions=features.positions, aggregate=features.aggregate(source.aggregate))
            if neck is not None:
                projections = neck(features)
                part['dense_projections'] = projections.dense_projections
                part['global_projections'] = projections.global_projections
            parts.append({key: value.float().cpu() for key, value in part.items() if value is not None})
            samples += batch['data_samples']
            bar.update(len(samples))
    gathered = {key: _in_canonical_order([part[key] for part in parts]) for key in parts[0]}
    num_grid = neck and neck.num_grid
    return Views(
        **{'dense_projections': None, 'global_projections': None, **gathered},
        grid=features.grid,
        projection_grid=(num_grid, num_grid) if num_grid else features.grid,
        geometry=ViewGeometry.of(samples),
    )


def _in_canonical_order(batches: Sequence[Tensor]) -> Tensor:
    """The first views of all batches, then the second ones."""
    return torch.cat([torch.cat(views) for views in zip(*(batch.chunk(2) for batch in batches))])
