"""Features of images, and correspondences between them, from a pretrained backbone."""

from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.device import get_device
from PIL import Image
from torch import Tensor, nn

from mmdclpp.apis._images import ImageLike, as_list, rgb_image
from mmdclpp.apis.sources.model_source import ModelSource
from mmdclpp.apis.sources.read_sources import read_sources
from mmdclpp.core.matching import mutual_matches
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import BackboneFeatures, extract_features, patch_size
from mmdclpp.models.backbones.layers import extract_layers
from mmdclpp.utils.files import PathLike
from mmdclpp.utils.progress import ProgressBar

Size = Union[int, Tuple[int, int]]
_LOADING_THREADS = 4


class PretrainedBackbone(nn.Module):
    """A backbone in eval mode, with what its pretraining tells of how images are given to it.

    Args:
        source (ModelSource): The model.
        device (str or torch.device): Where it computes.

    Attributes:
        source (ModelSource): Name, architecture, normalisation, image size and aggregate of pretraining.
        backbone (nn.Module): The backbone of mmpretrain, or of timm in mmpretrain's ``TIMMBackbone``.
        patch_size (int): Side of a patch in px; 1 for CNNs.
    """

    def __init__(self, source: ModelSource, device: Union[str, torch.device]) -> None:
        super().__init__()
        self.source = source
        self.backbone = source.build()
        self.patch_size = patch_size(self.backbone)
        self.eval()
        self.to(device)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.backbone.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """In what it computes: of its weights."""
        return next(self.backbone.parameters()).dtype

    def preprocess(self, image: ImageLike, size: Optional[Size] = None, keep_ratio: bool = False) -> Tensor:
        """An image as the backbone takes it: resized as in evaluations, and normalised as in pretraining.

        The whole image is resized, bicubic, and nothing is cropped. Sides are rounded to whole patches.

        Args:
            image (str, Path, PIL.Image.Image, np.ndarray or Tensor): A file; a PIL image; a uint8 array ``(H, W)`` or
                ``(H, W, C)``; or a tensor ``(C, H, W)``, uint8 or floating from 0 to 1. ``C`` is 1, 3 (RGB) or 4.
            size (int or Tuple[int, int], optional): Side of the square, or height and width, in px. Defaults to None,
                the square of pretraining.
            keep_ratio (bool): Keep the image's proportions: the shorter side has the given ``size``, of one number.
                Defaults to False.

        Returns:
            Tensor: Shape ``(1, 3, H, W)``, float32, on the model's device.

        Raises:
            UserError: If the image cannot be read or has another form, or the size is none.
        """
        return self._normalise(self._resized(image, size, keep_ratio)[None])

    def forward(self, batch: Tensor) -> BackboneFeatures:
        """Class token, positions and grid of normalised images ``(N, 3, H, W)``, with gradient."""
        return extract_features(self.backbone, batch.to(self.device, self.dtype))

    def layers(self, batch: Tensor, layers: Sequence[int]) -> List[BackboneFeatures]:
        """The same of several layers: :func:`~mmdclpp.models.backbones.layers.extract_layers`."""
        return extract_layers(self.backbone, batch.to(self.device, self.dtype), layers)

    def _resized(self, image: ImageLike, size: Optional[Size], keep_ratio: bool) -> Tensor:
        """uint8 RGB, shape ``(3, H, W)``."""
        image = rgb_image(image)
        height, width = self._input_size(image, size, keep_ratio)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    def _input_size(self, image: Image.Image, size: Optional[Size], keep_ratio: bool) -> Tuple[int, int]:
        size = self.source.image_size if size is None else size
        both = isinstance(size, (tuple, list))
        sides = tuple(size) if both else (size, size)
        if len(sides) != 2 or not all(_is_integer(side) and side > 0 for side in sides):
            raise UserError(f'size={size!r} is no size: give a side in px, or (height, width)')
        if keep_ratio and both:
            raise UserError(f'size={size!r} has its own proportions: give one number with keep_ratio')
        if keep_ratio:
            sides = tuple(int(size) * side / min(image.size) for side in (image.height, image.width))
        return tuple(max(round(float(side) / self.patch_size), 1) * self.patch_size for side in sides)

    def _normalise(self, images: Tensor) -> Tensor:
        images = images.to(self.device).float()
        if not self.source.normalise['to_rgb']:
            images = images.flip(1)  # evaluations read BGR, and such a model keeps it
        mean, std = (
            torch.tensor(self.source.normalise[name], dtype=torch.float32, device=self.device).view(1, 3, 1, 1)
            for name in ('mean', 'std')
        )
        return (images - mean) / std


class ExtractedFeatures(NamedTuple):
    """Features of ``N`` images, float32 on the CPU.

    Attributes:
        global_ (Tensor): One vector an image, aggregated as in pretraining, shape ``(N, C)``.
        dense (Tensor, optional): The map of an image, shape ``(N, C, rows, columns)``. None if not asked for.
        layers (Dict[int, ExtractedFeatures]): The same of each layer asked for, by the number it was asked for with.
    """

    global_: Tensor
    dense: Optional[Tensor]
    layers: Dict[int, 'ExtractedFeatures'] = {}


class ImageMatches(NamedTuple):
    """The patch of image B that is most similar to each of the ``K`` patches of image A, row by row.

    Points are ``(x, y)`` in px of the original images, from the upper left corner: the centre of the first pixel is at
    (0.5, 0.5).

    Attributes:
        target (Tensor): Index of the patch of B, shape ``(K,)``.
        similarity (Tensor): Their cosine similarity, shape ``(K,)``.
        mutual (Tensor): Whether the patch of A is in turn the most similar one to its target, shape ``(K,)``.
        points_a (Tensor): Centres of the patches of A, shape ``(K, 2)``.
        points_b (Tensor): Centres of their targets, shape ``(K, 2)``.
        grid_a (Tuple[int, int]): Rows and columns of the patches of A.
        grid_b (Tuple[int, int]): Rows and columns of the patches of B.
    """

    target: Tensor
    similarity: Tensor
    mutual: Tensor
    points_a: Tensor
    points_b: Tensor
    grid_a: Tuple[int, int]
    grid_b: Tuple[int, int]


def load_backbone(
    checkpoint: Optional[PathLike] = None,
    device: Optional[Union[str, torch.device]] = None,
    backbone: Optional[str] = None,
    config: Optional[PathLike] = None,
    aggregate: Optional[str] = None,
) -> PretrainedBackbone:
    """Load the backbone of a checkpoint, whole or not at all.

    Args:
        checkpoint (str or PathLike, optional): A checkpoint of ours, of mmpretrain or, with ``backbone``, of timm; or
            ``'random'`` for random weights. Defaults to None: the published weights of ``backbone``.
        device (str or torch.device, optional): Defaults to None: the accelerator if there is one, else the CPU.
        backbone (str, optional): ``'timm:NAME'`` or ``'mmpretrain:NAME'``. Defaults to None: what the checkpoint's own
            config says.
        config (str or PathLike, optional): Config file of a checkpoint that holds none. Defaults to None.
        aggregate (str, optional): ``'cls'`` or ``'gap'``, for global features. Defaults to None: as in pretraining.

    Raises:
        UserError: If a file is missing, cut off or holds no config, a name is unknown, or the weights are not exactly
            the backbone's.
    """
    models = [] if checkpoint is None else [str(checkpoint)]
    (source,) = read_sources(models, backbone, None if config is None else str(config), aggregate=aggregate)
    return PretrainedBackbone(source, get_device() if device is None else device)


def extract(
    model: Union[PretrainedBackbone, PathLike],
    images: Union[ImageLike, Sequence[ImageLike]],
    layers: Optional[Sequence[int]] = None,
    dense: bool = True,
    size: Optional[Size] = None,
    keep_ratio: bool = False,
    batch_size: int = 32,
    progress: bool = True,
) -> ExtractedFeatures:
    """Features of images, without gradient.

    Images may differ in size: each is resized by :meth:`PretrainedBackbone.preprocess`, by default to the square of
    pretraining.

    Args:
        model (PretrainedBackbone, str or PathLike): What :func:`load_backbone` gave, or a checkpoint for it.
        images: One image or several; for the forms see :meth:`PretrainedBackbone.preprocess`.
        layers (Sequence[int], optional): Layers to give too: blocks of a vision transformer, stages of a CNN, from 0,
            negative ones from the last. Defaults to None.
        dense (bool): Whether to give the maps, ``4·C·rows·columns`` bytes an image. Defaults to True.
        size (int or Tuple[int, int], optional): See :meth:`PretrainedBackbone.preprocess`. Defaults to None.
        keep_ratio (bool): The same. Images must then come to one size. Defaults to False.
        batch_size (int): Images a step; decides nothing else. Defaults to 32.
        progress (bool): Whether more than one step shows a progress bar. Defaults to True.

    Returns:
        ExtractedFeatures: Global features, maps, and those of layers.

    Raises:
        UserError: If there is no image, one cannot be read, sizes differ with ``keep_ratio``, or a layer is not there.
    """
    model = model if isinstance(model, PretrainedBackbone) else load_backbone(model)
    images, layers = as_list(images), [] if layers is None else _checked_layers(layers)
    if not images:
        raise UserError('images: none given: give at least one')
    if batch_size < 1:
        raise UserError(f'batch_size={batch_size} must be 1 or more')
    parts: List[List[ExtractedFeatures]] = []
    with (
        torch.no_grad(),
        ThreadPoolExecutor(_LOADING_THREADS) as threads,
        ProgressBar('features', len(images), visible=progress and len(images) > batch_size) as bar,
    ):
        shape = None
        for start in range(0, len(images), batch_size):
            chunk = images[start : start + batch_size]
            inputs = list(threads.map(lambda image: model._resized(image, size, keep_ratio), chunk))
            shape = inputs[0].shape if shape is None else shape
            other = next((tensor.shape for tensor in inputs if tensor.shape != shape), None)
            if other is not None:
                raise UserError(
                    f'images: with keep_ratio they come to {shape[1]} × {shape[2]} and {other[1]} × {other[2]} px: '
                    'extract them one by one, or give size=(height, width)'
                )
            batch = model._normalise(torch.stack(inputs))
            found = [model(batch)] if not layers else model.layers(batch, [-1, *layers])
            parts.append([_on_cpu(features, model.source.aggregate, dense) for features in found])
            bar.update(start + len(chunk))
    last, *others = (_joined(steps) for steps in zip(*parts))
    return last._replace(layers=dict(zip(layers, others)))


def match(
    model: Union[PretrainedBackbone, PathLike],
    image_a: ImageLike,
    image_b: ImageLike,
    size: Optional[Size] = None,
    keep_ratio: bool = False,
    layer: Optional[int] = None,
) -> ImageMatches:
    """Match every patch of one image with the most similar patch of another, by the cosine of dense features.

    Args:
        model (PretrainedBackbone, str or PathLike): What :func:`load_backbone` gave, or a checkpoint for it.
        image_a, image_b: One image each; for the forms see :meth:`PretrainedBackbone.preprocess`.
        size (int or Tuple[int, int], optional): The same. More pixels are more and smaller patches. Defaults to None.
        keep_ratio (bool): The same. The images may then come to different sizes. Defaults to False.
        layer (int, optional): The layer whose features are compared, as in :func:`extract`. Defaults to None, the last.

    Returns:
        ImageMatches: Targets, similarities and points in both images, on the CPU.

    Raises:
        UserError: If an image cannot be read, or there is no such layer.
    """
    model = model if isinstance(model, PretrainedBackbone) else load_backbone(model)
    layers = None if layer is None else _checked_layers([layer])
    images = [rgb_image(image) for image in (image_a, image_b)]
    sides = []
    with torch.no_grad():
        for image in images:
            batch = model.preprocess(image, size, keep_ratio)
            sides.append(model(batch) if layers is None else model.layers(batch, layers)[0])
        found = mutual_matches(sides[0].positions.float(), sides[1].positions.float())
    target, similarity, mutual = (values[0].cpu() for values in found)
    points_a, points_b = (_centres(side.grid, image.size) for side, image in zip(sides, images))
    return ImageMatches(target, similarity, mutual, points_a, points_b[target], sides[0].grid, sides[1].grid)


def _is_integer(value: Any) -> bool:
    """Whether a value is an integer of Python or NumPy, and no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _checked_layers(layers: Sequence[int]) -> List[int]:
    """A list of them, or a UserError."""
    if not isinstance(layers, (Sequence, np.ndarray)) or not all(map(_is_integer, layers)):
        raise UserError(f'layers: {layers!r} are no numbers of layers: give a list of integers, such as [0, -1]')
    return [int(layer) for layer in layers]


def _on_cpu(features: BackboneFeatures, aggregate: str, dense: bool) -> ExtractedFeatures:
    maps = features.positions.transpose(1, 2).unflatten(2, features.grid).float().contiguous().cpu() if dense else None
    # Contiguous, since a class token as a view would keep all tokens in memory.
    return ExtractedFeatures(features.aggregate(aggregate).float().contiguous().cpu(), maps)


def _joined(steps: Sequence[ExtractedFeatures]) -> ExtractedFeatures:
    maps = None if steps[0].dense is None else torch.cat([step.dense for step in steps])
    return ExtractedFeatures(torch.cat([step.global_ for step in steps]), maps)


def _centres(grid: Tuple[int, int], image_size: Tuple[int, int]) -> Tensor:
    """``(x, y)`` of the centre of each patch, in px of an image of ``(width, height)``, shape ``(K, 2)``."""
    (rows, columns), (width, height) = grid, image_size
    y, x = torch.meshgrid(
        (torch.arange(rows) + 0.5) * height / rows, (torch.arange(columns) + 0.5) * width / columns, indexing='ij'
    )
    return torch.stack([x, y], dim=-1).flatten(0, 1)
