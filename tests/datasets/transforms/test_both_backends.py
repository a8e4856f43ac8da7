"""What reaches the model is distributed alike, whichever backend of LoadViews makes the views."""

import random
import warnings

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, default_collate
from mmengine.registry import DefaultScope
from PIL import Image
from scipy import stats

from mmdclpp.datasets.transforms.load_views import BACKENDS
from mmdclpp.models.data_preprocessors import ViewDataPreprocessor

NUMBER = 1200  # views of each backend
VIEW = [
    dict(type='RandomResizedCropWithBox', scale=24, crop_ratio_range=(0.2, 1.0), backend='pillow'),
    dict(type='RandomFlip', prob=0.3),
    dict(
        type='RandomApply',
        transforms=[
            dict(type='ColorJitter', brightness=0.4, contrast=(0.4, 1.0), saturation=(0.2, 1.0), hue=(0.0, 0.1))
        ],
        prob=0.8,
    ),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989)),
    dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5),
    dict(type='Solarize', thr=128, prob=0.2),
]


def images(folder):
    """Smooth shapes: reddish, brighter to the right and with more detail below."""
    draws = np.random.default_rng(0)
    for index in range(4):
        coarse = torch.from_numpy(draws.random((1, 3, 5, 6)))
        image = torch.nn.functional.interpolate(coarse, (50, 64), mode='bicubic')[0].permute(1, 2, 0).numpy()
        image = image * (1.0, 0.6, 0.4) + np.linspace(-0.2, 0.2, 64)[:, None]
        image += draws.normal(0, 0.15, image.shape) * np.linspace(0, 1, 50)[:, None, None]
        Image.fromarray(np.clip(255 * image, 0, 255).astype(np.uint8)).save(folder / f'{index}.png')
        yield str(folder / f'{index}.png')


def described(backend, paths):
    """Figures of each view as the model gets it."""
    load = Compose(
        [
            dict(type='LoadViews', transforms=[VIEW], num_views=NUMBER // len(paths), backend=backend),
            dict(type='PackInputs', meta_keys=('view_photometric',)),
        ]
    )
    np.random.seed(0)
    random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # mmcv warns of each change of colour
        batch = default_collate([load(dict(img_path=path)) for path in paths])
    views = torch.cat(ViewDataPreprocessor(to_rgb=True)(batch)['inputs'])
    luma = views.mean(1)
    left, right = luma.chunk(2, dim=2)
    return dict(
        red=views[:, 0].mean((1, 2)),
        green=views[:, 1].mean((1, 2)),
        blue=views[:, 2].mean((1, 2)),
        contrast=luma.flatten(1).std(1),
        colour=(views.amax(1) - views.amin(1)).mean((1, 2)),
        sharpness=luma.diff(dim=2).abs().mean((1, 2)),
        slope=(right - left).mean((1, 2)),
        hue=(views[:, 1] - views[:, 2]).mean((1, 2)),
    )


@pytest.fixture(scope='module')
def figures(tmp_path_factory):
    paths = list(images(tmp_path_factory.mktemp('images')))
    with DefaultScope.overwrite_default_scope('mmdclpp'):
        return [described(backend, paths) for backend in BACKENDS]


@pytest.mark.parametrize('figure', ['red', 'green', 'blue', 'contrast', 'colour', 'sharpness', 'slope', 'hue'])
def test_figures_of_the_views_are_distributed_alike(figures, figure):
    batched, mmpretrain = (kind[figure].numpy() for kind in figures)
    # mmpretrain cuts values off to 8 bits after every change: its views are darker by a level or two of 255, which so
    # many views do not show.
    assert stats.ks_2samp(batched, mmpretrain, method='asymp').pvalue > 1e-4
