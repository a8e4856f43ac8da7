"""The pipelines that data_path.py compares, from an image file to a normalised batch, all of one recipe."""

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Sequence

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from PIL import Image
from torch import Tensor

from mmdclpp.datasets.decode_image import decode_image
from mmdclpp.datasets.transforms.view_recipe import ViewRecipe
from mmdclpp.registry import MODELS
from mmdclpp.utils.paths import config_path

_SIGMAS = 4  # of the Gaussian on each side, as ours has it


class Pipeline(NamedTuple):
    """What a pipeline does where.

    Attributes:
        load (Callable): From a path to a sample, in a loader's worker.
        collate (Callable): From samples to a batch, there too.
        finish (Callable): From a batch to normalised float views, on the model's device.
    """

    load: Callable[[str], object]
    collate: Callable[[list], object]
    finish: Callable[[object], object]


class Recipe:
    """DenseCL's two views, as the configs have them.

    Args:
        size (int): Side of the views in pixels.
    """

    def __init__(self, size: int) -> None:
        init_default_scope('mmdclpp')
        config = Config.fromfile(config_path('_base_/datasets/coco_two_views.py'))
        model = Config.fromfile(config_path('_base_/models/densecl_pp.py')).model
        self.size = size
        self.preprocessor = model.data_preprocessor.to_dict()
        # mmpretrain's own crop, which ours adds a box to; that of Pillow, as mmpretrain's configs have it.
        crop, *others = config.view_pipeline
        self.transforms = [dict(crop, type='RandomResizedCrop', scale=size), *others]
        self.drawn = ViewRecipe.of(self.transforms)

    def pipelines(self) -> Dict[str, Pipeline]:
        """From file to batch, those that are installed."""
        return dict(
            decoding=Pipeline(_decoded_shape, list, list),
            mmpretrain=self._of_transforms(
                [
                    dict(type='LoadImageFromFile'),
                    dict(type='MultiView', num_views=2, transforms=[self.transforms]),
                    dict(type='PackInputs'),
                ],
                'SelfSupDataPreprocessor',
            ),
            **(dict(lightly=self._lightly()) if _installed('lightly') else {}),
            ours=self._of_transforms(
                [
                    dict(type='LoadViews', num_views=2, transforms=[self.transforms]),
                    dict(type='PackInputs', meta_keys=('img_path', 'view_boxes', 'view_flips', 'view_photometric')),
                ],
                'ViewDataPreprocessor',
            ),
        )

    def _of_transforms(self, transforms: List[dict], preprocessor: str) -> Pipeline:
        pipeline = Compose(transforms)
        preprocess = MODELS.build({**self.preprocessor, 'type': preprocessor})
        return Pipeline(
            lambda path: pipeline(dict(img_path=path)), default_collate, lambda batch: preprocess(batch)['inputs']
        )

    def _lightly(self) -> Pipeline:
        from lightly.transforms import SimCLRTransform

        drawn = self.drawn
        transform = SimCLRTransform(
            input_size=self.size,
            cj_prob=drawn.jitter,
            cj_strength=1,
            cj_bright=drawn.brightness[1] - 1,
            cj_contrast=drawn.contrast[1] - 1,
            cj_sat=drawn.saturation[1] - 1,
            cj_hue=drawn.hue[1],
            min_scale=drawn.area[0],
            random_gray_scale=drawn.grey,
            gaussian_blur=drawn.blur,
            sigmas=drawn.sigma,
            hf_prob=drawn.flip,
        )

        def load(path: str) -> List[Tensor]:
            with open(path, 'rb') as file:  # as torchvision's and lightly's data sets do
                return transform(Image.open(file).convert('RGB'))

        return Pipeline(load, torch.utils.data.default_collate, list)

    def photometric(self, paths: Sequence[str]) -> Dict[str, Callable[[], Tensor]]:
        """Jitter, grey, blur and normalisation of a view of each image: the same uint8 views for all."""
        views = self._cropped(paths)
        return dict(
            mmpretrain=self._mmpretrain_photometric(views),
            torchvision=self._torchvision_photometric(views),
            **(dict(kornia=self._kornia_photometric(views)) if _installed('kornia') else {}),
            ours=self._our_photometric(views),
        )

    def _cropped(self, paths: Sequence[str]) -> Tensor:
        load = Compose([dict(type='LoadViews', num_views=1, transforms=[self.transforms])])
        return torch.stack([load(dict(img_path=path))['img'][0] for path in paths])

    def _our_photometric(self, views: Tensor) -> Callable[[], Tensor]:
        preprocess = MODELS.build(self.preprocessor)

        def change() -> Tensor:
            # As LoadViews draws them.
            drawn = [
                np.array([self.drawn.draw_photometric(np.random.default_rng())], np.float32) for _ in range(len(views))
            ]
            samples = [DataSample(metainfo=dict(view_photometric=rows)) for rows in drawn]
            return preprocess(dict(inputs=[views], data_samples=samples))['inputs'][0]

        return change

    def _mmpretrain_photometric(self, views: Tensor) -> Callable[[], Tensor]:
        transform = Compose([step for step in self.transforms[1:] if step['type'] != 'RandomFlip'])
        preprocess = MODELS.build({**self.preprocessor, 'type': 'SelfSupDataPreprocessor'})
        images = [np.ascontiguousarray(view.permute(1, 2, 0).numpy()) for view in views]

        def change() -> Tensor:
            changed = [torch.from_numpy(transform(dict(img=image))['img']).permute(2, 0, 1) for image in images]
            return preprocess(dict(inputs=[torch.stack(changed)], data_samples=[]))['inputs'][0]

        return change

    def _torchvision_photometric(self, views: Tensor) -> Callable[[], Tensor]:
        from torchvision.transforms import v2

        drawn = self.drawn
        jitter = v2.ColorJitter(drawn.brightness, drawn.contrast, drawn.saturation, drawn.hue)
        transform = v2.Compose(
            [
                v2.ToDtype(torch.float32, scale=True),
                v2.RandomApply([jitter], drawn.jitter),
                v2.RandomGrayscale(drawn.grey),
                v2.RandomApply([v2.GaussianBlur(self._kernel_size, drawn.sigma)], drawn.blur),
                v2.Normalize(*self._normalisation),
            ]
        )
        images = views.flip(1)
        # Image by image: of a batch all are changed alike.
        return lambda: torch.stack([transform(image) for image in images])

    def _kornia_photometric(self, views: Tensor) -> Callable[[], Tensor]:
        from kornia import augmentation

        drawn = self.drawn
        change = torch.nn.Sequential(
            augmentation.ColorJitter(drawn.brightness, drawn.contrast, drawn.saturation, drawn.hue, p=drawn.jitter),
            augmentation.RandomGrayscale(p=drawn.grey),
            augmentation.RandomGaussianBlur((self._kernel_size,) * 2, drawn.sigma, p=drawn.blur),
            augmentation.Normalize(*map(torch.tensor, self._normalisation)),
        )
        images = views.flip(1)
        return lambda: change(images / 255)

    @property
    def _kernel_size(self) -> int:
        return 2 * int(np.ceil(_SIGMAS * self.drawn.sigma[1])) + 1

    @property
    def _normalisation(self) -> List[List[float]]:
        return [[value / 255 for value in self.preprocessor[name]] for name in ('mean', 'std')]


def _installed(library: str) -> bool:
    found = find_spec(library) is not None
    if not found:
        print(f'{library} is not installed: pip install -r requirements/benchmarks.txt')
    return found


def _decoded_shape(path: str) -> tuple:
    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR).shape


def decoders(paths: Sequence[str]) -> Dict[str, Callable[[], None]]:
    """Ways to decode JPEGs, which lie in memory, at full and at half the resolution."""
    files = [Path(path).read_bytes() for path in paths]
    half = cv2.IMREAD_REDUCED_COLOR_2

    def with_pillow(data: bytes, reduction: int) -> np.ndarray:
        image = Image.open(io.BytesIO(data))
        image.draft('RGB', [side // reduction for side in image.size])
        return np.asarray(image.convert('RGB'))

    ways: Dict[str, Callable[[bytes], object]] = {
        'OpenCV': lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR),
        'OpenCV, half': lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), half),
        'Pillow': lambda data: with_pillow(data, 1),
        'Pillow, half': lambda data: with_pillow(data, 2),
    }
    if _installed('simplejpeg'):
        import simplejpeg

        def half_with_simplejpeg(data: bytes) -> np.ndarray:
            height, width, *_ = simplejpeg.decode_jpeg_header(data)
            return simplejpeg.decode_jpeg(data, 'BGR', min_height=height // 2, min_width=width // 2)

        ways['simplejpeg'] = lambda data: simplejpeg.decode_jpeg(data, 'BGR')
        ways['simplejpeg, half'] = half_with_simplejpeg
    ways['ours'] = decode_image
    ways['ours, half'] = lambda data: decode_image(data, reduction=2)

    def all_files(decode: Callable[[bytes], object]) -> Callable[[], None]:
        def go_through() -> None:
            for data in files:
                decode(data)

        return go_through

    return {name: all_files(decode) for name, decode in ways.items()}
