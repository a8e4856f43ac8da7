"""A batch is what torchvision and a normalisation make of each of its views by its own parameters."""

import copy

import numpy as np
import pytest
import torch
from mmpretrain.models import SelfSupDataPreprocessor
from mmpretrain.structures import DataSample

from mmdclpp.core.photometric import UNCHANGED
from mmdclpp.models.data_preprocessors import ViewDataPreprocessor
from tests.core.photometric_cases import by_torchvision, images, row

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
RGB = dict(mean=MEAN, std=STD, to_rgb=True)
NUMBER = 3
ROWS = np.array(  # of two views of each image
    [
        [row(order=5, brightness=0.7, contrast=1.3, saturation=0.5, hue=0.1), row(grey=1)],
        [row(order=20, brightness=1.2, saturation=1.8, hue=-0.4, sigma=1.5), row()],
        [row(threshold=128 / 255), row(order=11, contrast=0.6, hue=0.3, sigma=0.5, threshold=0.5)],
    ],
    np.float32,
)


def batch_of(rows=ROWS, sizes=((24, 24), (16, 20))):
    """BGR as they come from the loader, the views of another size each."""
    random = np.random.default_rng(0)
    views = []
    for height, width in sizes:
        smooth = images(height, width)['photograph'].mul(255).round()
        noise = torch.from_numpy(random.integers(-20, 20, (NUMBER, 3, height, width)))
        views.append((smooth + noise).clamp(0, 255).to(torch.uint8))
    samples = [DataSample(metainfo=dict(img_path=f'{index}.jpg')) for index in range(NUMBER)]
    for sample, parameters in zip(samples, rows):
        if parameters is not None:
            sample.set_metainfo(dict(view_photometric=parameters))
    return dict(inputs=views, data_samples=samples)


def expected(views, rows, mean, std, to_rgb):
    """torchvision's chain on RGB images in [0, 1], then the normalisation of the model's channels."""
    prepared = []
    for place, view in enumerate(views):
        changed = [by_torchvision(image.flip(0) / 255, rows[index][place]) for index, image in enumerate(view)]
        changed = torch.stack(changed) if to_rgb else torch.stack(changed).flip(1)
        prepared.append((255 * changed - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1))
    return prepared


@pytest.mark.parametrize('to_rgb', [True, False], ids=['RGB', 'BGR'])
@pytest.mark.parametrize('normalised', [True, False], ids=['normalised', 'as they are'])
def test_views_are_changed_as_by_torchvision_and_normalised(to_rgb, normalised):
    mean, std = (MEAN, STD) if normalised else (None, None)
    batch = batch_of()
    prepared = ViewDataPreprocessor(mean=mean, std=std, to_rgb=to_rgb)(batch)
    reference = expected(batch['inputs'], ROWS, mean or [0.0] * 3, std or [1.0] * 3, to_rgb)
    for view, wanted in zip(prepared['inputs'], reference, strict=True):
        assert view.dtype == torch.float32 and view.is_contiguous()
        # 2e-5 of [0, 1], in the units of the model.
        torch.testing.assert_close(view, wanted, rtol=0, atol=2e-5 * 255 / (57 if normalised else 1))


@pytest.mark.parametrize('options', [RGB, dict(RGB, to_rgb=False), dict()], ids=['RGB', 'BGR', 'as they are'])
def test_finished_views_are_prepared_bit_for_bit_as_mmpretrain_does(options):
    batch = batch_of(rows=[None] * NUMBER)
    ours, theirs = (kind(**options)(copy.deepcopy(batch)) for kind in (ViewDataPreprocessor, SelfSupDataPreprocessor))
    assert all(view.equal(reference) for view, reference in zip(ours['inputs'], theirs['inputs'], strict=True))
    assert [sample.to_dict() for sample in ours['data_samples']] == [s.to_dict() for s in theirs['data_samples']]


def test_a_single_image_without_views_is_prepared_as_mmpretrain_does():
    (image, _), samples = batch_of(rows=[None] * NUMBER).values()
    batch = dict(inputs=image, data_samples=samples)
    assert ViewDataPreprocessor(**RGB)(batch)['inputs'].equal(SelfSupDataPreprocessor(**RGB)(batch)['inputs'])


@pytest.mark.parametrize('options', [RGB, dict(RGB, to_rgb=False), dict()], ids=['RGB', 'BGR', 'as they are'])
def test_views_with_nothing_left_to_do_are_those_of_mmpretrain(options):
    unchanged = ViewDataPreprocessor(**options)(batch_of(rows=np.array([[UNCHANGED] * 2] * NUMBER, np.float32)))
    theirs = SelfSupDataPreprocessor(**options)(batch_of(rows=[None] * NUMBER))
    for view, reference in zip(unchanged['inputs'], theirs['inputs'], strict=True):
        torch.testing.assert_close(view, reference, rtol=1e-6, atol=1e-6)


def test_finished_views_may_stand_beside_unfinished_ones():
    mixed = ViewDataPreprocessor(**RGB)(batch_of(rows=[None, ROWS[1], None]))
    changed, finished = ViewDataPreprocessor(**RGB)(batch_of()), ViewDataPreprocessor(**RGB)(batch_of([None] * NUMBER))
    for view, first, second in zip(mixed['inputs'], changed['inputs'], finished['inputs'], strict=True):
        assert view[1].equal(first[1])
        torch.testing.assert_close(view[[0, 2]], second[[0, 2]], rtol=1e-6, atol=1e-6)


def test_preparing_leaves_the_batch_as_it_was():
    batch = batch_of()
    before = copy.deepcopy(batch)
    preprocessor = ViewDataPreprocessor(**RGB)
    first, second = preprocessor(batch), preprocessor(batch)
    assert all(view.equal(again) for view, again in zip(first['inputs'], second['inputs'], strict=True))
    assert all(view.equal(original) for view, original in zip(batch['inputs'], before['inputs'], strict=True))
    for sample, original in zip(first['data_samples'], before['data_samples'], strict=True):
        assert sample.img_path == original.img_path
        np.testing.assert_array_equal(sample.view_photometric, original.view_photometric)


def test_mixed_precision_prepares_the_same():
    preprocessor = ViewDataPreprocessor(**RGB)
    with torch.autocast('cpu', torch.bfloat16):
        mixed = preprocessor(batch_of())
    for view, reference in zip(mixed['inputs'], preprocessor(batch_of())['inputs'], strict=True):
        assert view.dtype == torch.float32 and view.equal(reference)
