"""Published recipes are read in full or refused; draws are distributed as those of torchvision and mmpretrain."""

import itertools
from pathlib import Path

import mmpretrain
import numpy as np
import pytest
import torch
import torchvision.transforms as T
from mmengine.config import Config
from mmpretrain.datasets import RandomResizedCrop
from scipy import stats

from mmdclpp.core.photometric import ORDERS
from mmdclpp.datasets.transforms.view_recipe import ViewRecipe
from mmdclpp.errors import UserError
from mmdclpp.utils.paths import config_path

CONFIGS = Path(mmpretrain.__file__).parent / '.mim' / 'configs'

CROP = dict(type='RandomResizedCrop', scale=224)
FLIP = dict(type='RandomFlip', prob=0.5)
JITTER = dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
GREY = dict(type='RandomGrayscale', prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989))
BLUR = dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5)
SOLARISE = dict(type='Solarize', thr=128, prob=0.2)


def sometimes(*transforms, prob=0.8):
    return dict(type='RandomApply', transforms=list(transforms), prob=prob)


def recipe(**changes) -> ViewRecipe:
    """SimCLR's crop, and what BYOL and those after it share of the rest."""
    fields = dict(
        size=(224, 224),
        area=(0.08, 1.0),
        aspect=(3 / 4, 4 / 3),
        max_attempts=10,
        interpolation='bilinear',
        flip=0.5,
        jitter=0.8,
        brightness=(1 - 0.4, 1 + 0.4),
        contrast=(1 - 0.4, 1 + 0.4),
        saturation=(1 - 0.2, 1 + 0.2),
        hue=(-0.1, 0.1),
        grey=0.2,
        blur=0.5,
        sigma=(0.1, 2.0),
    )
    return ViewRecipe(**{**fields, **changes})


FOUR = (1 - 0.4, 1 + 0.4)
EIGHT = dict.fromkeys(('brightness', 'contrast', 'saturation'), (1 - 0.8, 1 + 0.8))
SIMCLR = dict(**EIGHT, hue=(-0.2, 0.2))
FIRST = dict(blur=1.0, threshold=128 / 255)
SECOND = dict(blur=0.1, solarise=0.2, threshold=128 / 255)


@pytest.mark.parametrize(
    ('config', 'kinds'),
    [
        ('simclr/simclr_resnet50_16xb256-coslr-800e_in1k', [SIMCLR]),
        ('mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k', [dict(area=(0.2, 1.0), saturation=FOUR)]),
        ('densecl/densecl_resnet50_8xb32-coslr-200e_in1k', [dict(area=(0.2, 1.0), saturation=FOUR)]),
        ('simsiam/simsiam_resnet50_8xb32-coslr-100e_in1k', [dict(area=(0.2, 1.0), saturation=FOUR)]),
        ('byol/byol_resnet50_16xb256-coslr-200e_in1k', [dict(interpolation='bicubic', **x) for x in (FIRST, SECOND)]),
        (
            'barlowtwins/barlowtwins_resnet50_8xb256-coslr-300e_in1k',
            [dict(interpolation='bicubic', **kind) for kind in (FIRST, SECOND)],
        ),
        ('mocov3/mocov3_vit-small-p16_16xb256-amp-coslr-300e_in1k', [FIRST, SECOND]),
        (
            'swav/swav_resnet50_8xb32-mcrop-coslr-200e_in1k-224px-96px',
            [dict(SIMCLR, area=(0.14, 1.0)), dict(SIMCLR, area=(0.05, 0.14), size=(96, 96))],
        ),
    ],
    ids=lambda value: value.split('/')[0] if isinstance(value, str) else '',
)
def test_the_published_recipes_are_read(config, kinds):
    cfg = Config.fromfile(CONFIGS / f'{config}.py')
    multi_view = cfg.train_dataloader.dataset.pipeline[1]
    assert [ViewRecipe.of(transforms) for transforms in multi_view.transforms] == [recipe(**kind) for kind in kinds]


def test_those_of_our_configs_are_read():
    cfg = Config.fromfile(config_path('_base_/datasets/coco_two_views.py'))
    assert ViewRecipe.of(cfg.view_pipeline) == recipe(area=(0.2, 1.0), saturation=FOUR)


def test_arguments_that_no_published_recipe_uses_are_read():
    read = ViewRecipe.of(
        [
            dict(type='RandomResizedCropWithBox', scale=(30, 40), aspect_ratio_range=(0.5, 3.0), max_attempts=3),
            sometimes(sometimes(dict(type='ColorJitter', brightness=(0.5, 0.7), hue=(0.1, 0.2)), prob=0.5), prob=0.4),
            sometimes(FLIP, prob=0.5),
            sometimes(dict(type='GaussianBlur', radius=1.5, prob=0.5), prob=0.5),
        ]
    )
    assert read == ViewRecipe(
        size=(30, 40),
        area=(0.08, 1.0),
        aspect=(0.5, 3.0),
        max_attempts=3,
        interpolation='bilinear',
        flip=0.25,
        jitter=0.2,
        brightness=(0.5, 0.7),
        hue=(0.1, 0.2),
        blur=0.25,
        sigma=(1.5, 1.5),
    )


@pytest.mark.parametrize('place', range(1, 6))
def test_a_flip_may_stand_anywhere_behind_the_crop(place):
    transforms = [CROP, sometimes(JITTER), GREY, BLUR, SOLARISE]
    transforms.insert(place, FLIP)
    assert ViewRecipe.of(transforms) == recipe(solarise=0.2, threshold=128 / 255)


@pytest.mark.parametrize(
    ('blur', 'sigma'),
    [
        (dict(magnitude_std='inf', magnitude_level=5, magnitude_range=(1.0, 3.0)), (1.0, 2.0)),
        (dict(magnitude_std='inf', magnitude_range=(3.0, 1.0)), (1.0, 3.0)),
        (dict(magnitude_std=0, magnitude_level=5, magnitude_range=(1.0, 3.0)), (2.0, 2.0)),
    ],
    ids=['half the range', 'downwards', 'fixed'],
)
def test_levels_of_blur_are_as_mmpretrain_draws_them(blur, sigma):
    read = ViewRecipe.of([CROP, dict(type='GaussianBlur', **blur)])
    assert read.sigma == sigma
    assert sigma[0] <= read.draw_photometric(np.random.default_rng(1))[6] <= sigma[1]


@pytest.mark.parametrize(
    ('transforms', 'named'),
    [
        ([], r'\[\]'),
        ([FLIP, CROP], r'\[RandomFlip, RandomResizedCrop\]'),
        ([CROP, FLIP, JITTER, FLIP], r'\[RandomResizedCrop, RandomFlip, ColorJitter, RandomFlip\]'),
        ([CROP, GREY, JITTER], r'\[RandomResizedCrop, RandomGrayscale, ColorJitter\]'),
        ([CROP, JITTER, JITTER], r'\[RandomResizedCrop, ColorJitter, ColorJitter\]'),
        ([CROP, CROP], r'\[RandomResizedCrop, RandomResizedCrop\]'),
        ([sometimes(CROP)], r'\[RandomResizedCrop\]'),
        ([dict(type='EfficientNetRandomCrop', scale=224)], 'EfficientNetRandomCrop'),
        ([CROP, dict(type='Posterize', bits=4)], 'Posterize'),
        ([CROP, sometimes(JITTER, GREY)], 'RandomApply of 2 transforms'),
        ([dict(CROP, interpolation='lanczos')], "RandomResizedCrop.interpolation='lanczos'"),
        ([CROP, dict(FLIP, direction='vertical')], "RandomFlip.direction='vertical'"),
        ([CROP, dict(type='RandomFlip', prob=[0.5], direction=['vertical'])], r'RandomFlip.prob=\[0.5\]'),
        ([CROP, dict(GREY, channel_weights=(0.299, 0.587, 0.114))], 'RandomGrayscale.channel_weights='),
        ([CROP, dict(type='RandomGrayscale')], 'RandomGrayscale.channel_weights='),
        ([CROP, dict(GREY, keep_channels=False)], 'RandomGrayscale without keep_channels'),
        ([CROP, dict(GREY, color_format='rgb')], 'RandomGrayscale without keep_channels, or not of BGR'),
        ([CROP, dict(BLUR, magnitude_std=1.0)], 'GaussianBlur.magnitude_std=1.0'),
        ([CROP, dict(type='Solarize', magnitude_range=(256, 0))], 'Solarize with magnitude_range'),
    ],
)
def test_what_cannot_be_computed_is_named_with_the_remedy(transforms, named):
    with pytest.raises(UserError, match=rf"cannot compute .*{named}.*LoadViews\(backend='mmpretrain'\)$"):
        ViewRecipe.of(transforms)


@pytest.mark.parametrize(
    ('transforms', 'message'),
    [
        ([CROP, dict(type='RandomApply', transforms=[JITTER], prob=1.5)], 'the probability 1.5 of jitter'),
        ([dict(CROP, crop_ratio_range=(-0.1, 1.0))], r'crop_ratio_range=\(-0.1, 1.0\)'),
        ([CROP, dict(BLUR, magnitude_range=(-1.0, 2.0))], r'sigma \(-1.0, 2.0\) of GaussianBlur'),
    ],
)
def test_numbers_that_make_no_sense_are_named(transforms, message):
    with pytest.raises(UserError, match=f'^transforms: .*{message}.* must '):
        ViewRecipe.of(transforms)


# The seeds are fixed: a right draw fails with none of them, and one that is off by a twentieth of its range fails.
DRAWS, LEAST_P = 4000, 1e-4


def assert_same_distribution(ours, theirs):
    assert stats.ks_2samp(ours, theirs, method='asymp').pvalue > LEAST_P


def crops_of_torchvision(height, width, area, aspect):
    torch.manual_seed(0)
    image = torch.empty(1, height, width)
    return [T.RandomResizedCrop.get_params(image, area, aspect) for _ in range(DRAWS)]


def crops_of_mmpretrain(height, width, area, aspect):
    np.random.seed(0)
    crop, image = RandomResizedCrop(8, area, aspect), np.empty((height, width, 3), np.uint8)
    return [crop.rand_crop_params(image) for _ in range(DRAWS)]


@pytest.mark.parametrize('theirs', [crops_of_torchvision, crops_of_mmpretrain])
@pytest.mark.parametrize(
    ('height', 'width', 'area', 'aspect'),
    [
        (480, 640, (0.2, 1.0), (3 / 4, 4 / 3)),
        (61, 83, (0.08, 1.0), (3 / 4, 4 / 3)),
        (90, 400, (0.2, 1.0), (3 / 4, 4 / 3)),  # of which few crops fit
        (480, 640, (0.05, 0.14), (0.8, 3.0)),  # more often wide than tall
    ],
)
def test_crops_are_distributed_as_theirs(theirs, height, width, area, aspect):
    drawing = ViewRecipe((8, 8), area, aspect, 10, 'bilinear')
    random = np.random.default_rng(1)
    ours = np.array([drawing.draw_crop(random, height, width) for _ in range(DRAWS)], float)
    reference = np.array(theirs(height, width, area, aspect), float)
    for crops in (ours, reference):
        assert (crops >= (0, 0, 1, 1)).all() and (crops[:, :2] + crops[:, 2:] <= (height, width)).all()

    def described(crops):
        top, left, rows, columns = crops.T
        down, right = top / np.maximum(height - rows, 1), left / np.maximum(width - columns, 1)
        return dict(area=rows * columns, aspect=np.log(columns / rows), down=down, right=right, top=top, left=left)

    for ours_of_a_kind, theirs_of_it in zip(described(ours).values(), described(reference).values()):
        assert_same_distribution(ours_of_a_kind, theirs_of_it)


@pytest.mark.parametrize('aspect', [(3 / 4, 4 / 3), (1.0, 1.0), (0.3, 0.9), (1.1, 3.0)])
def test_where_no_crop_fits_it_is_the_same_part_of_the_centre(aspect):
    drawing = ViewRecipe((8, 8), (2.0, 2.0), aspect, 10, 'bilinear')
    random = np.random.default_rng(0)
    for height, width in itertools.product((2, 3, 4, 5, 33, 100, 427, 640), repeat=2):
        theirs = T.RandomResizedCrop.get_params(torch.empty(1, height, width), (2.0, 2.0), aspect)
        image = np.empty((height, width, 3), np.uint8)
        assert drawing.draw_crop(random, height, width) == theirs
        assert theirs == RandomResizedCrop(8, (2.0, 2.0), aspect).rand_crop_params(image)


@pytest.fixture(scope='module')
def photometric():
    """Columns of many draws, one for each parameter."""
    drawing = recipe(solarise=0.2, threshold=128 / 255)
    random = np.random.default_rng(2)
    return np.array([drawing.draw_photometric(random) for _ in range(DRAWS)]).T


@pytest.fixture(scope='module')
def jittered(photometric):
    return photometric[:5, photometric[4] != 0]


def test_jitter_is_distributed_as_torchvisions(jittered):
    torch.manual_seed(0)
    ranges = [(0.6, 1.4), (0.6, 1.4), (0.8, 1.2), (-0.1, 0.1)]
    theirs = np.array([T.ColorJitter.get_params(*ranges)[1:] for _ in range(DRAWS)]).T
    for ours, reference in zip(jittered[1:], theirs, strict=True):
        assert_same_distribution(ours, reference)


def test_factors_and_order_of_the_jitter_are_drawn_by_themselves(jittered):
    correlations = stats.spearmanr(jittered, axis=1).statistic - np.eye(5)
    assert np.abs(correlations).max() < 0.08  # 4.5 standard deviations


def test_all_orders_are_as_likely(jittered):
    assert len(set(map(tuple, ORDERS))) == 24
    assert stats.chisquare(np.bincount(jittered[0].astype(int), minlength=24)).pvalue > LEAST_P


def test_blur_is_distributed_as_torchvisions(photometric):
    torch.manual_seed(0)
    theirs = [T.GaussianBlur.get_params(0.1, 2.0) for _ in range(DRAWS)]
    assert_same_distribution(photometric[6][photometric[6] > 0], theirs)


def test_probabilities_are_those_of_the_recipe(photometric):
    _, _, _, _, hue, grey, sigma, threshold = photometric
    drawing, random = ViewRecipe.of([CROP, dict(FLIP, prob=0.3)]), np.random.default_rng(3)
    flips = np.array([drawing.draw_flip(random) for _ in range(DRAWS)])
    happened = dict(jitter=hue != 0, grey=grey == 1, blur=sigma > 0, solarise=threshold == 128 / 255, flip=flips)
    asked = dict(jitter=0.8, grey=0.2, blur=0.5, solarise=0.2, flip=0.3)
    for name, probability in asked.items():
        assert stats.binomtest(int(happened[name].sum()), DRAWS, probability).pvalue > LEAST_P, name
    together = np.corrcoef([happened[name] for name in ('jitter', 'grey', 'blur', 'solarise')]) - np.eye(4)
    assert np.abs(together).max() < 0.07  # 4.5 standard deviations
    assert set(grey) == {0, 1} and set(threshold) == {128 / 255, np.inf}


def test_what_is_not_asked_for_is_never_done():
    drawing, random = ViewRecipe.of([CROP]), np.random.default_rng(0)
    draws = {tuple(drawing.draw_photometric(random)) for _ in range(100)}
    assert draws == {(0, 1, 1, 1, 0, 0, 0, np.inf)}
    assert not any(drawing.draw_flip(random) for _ in range(100))
