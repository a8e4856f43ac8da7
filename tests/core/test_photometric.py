"""Every operation and chains of them equal torchvision's on float images; each image keeps to its own parameters."""

import colorsys
import math

import numpy as np
import pytest
import torch

from mmdclpp.core.photometric import ORDERS, UNCHANGED, Photometric, _change_all, change_photometry

from .photometric_cases import by_torchvision, images, row

TOLERANCE = dict(rtol=0, atol=2e-5)  # 0.005 of 255 levels


def image_by_image(batch, rows):
    return change_photometry(batch, Photometric.of_rows(rows))


def all_at_once(batch, rows):
    """As on a GPU."""
    _change_all(batch, Photometric.of_rows(rows))
    return batch


paths = pytest.mark.parametrize('change', [image_by_image, all_at_once])


def batch_of(height, width, rows):
    """Each kind of image with each row of parameters."""
    kinds = list(images(height, width).values())
    return torch.stack([image for image in kinds for _ in rows]), np.array([*rows] * len(kinds), np.float32)


def expected(batch, rows):
    return torch.stack([by_torchvision(image, values) for image, values in zip(batch, rows, strict=True)])


@paths
@pytest.mark.parametrize(('height', 'width'), [(48, 48), (37, 61), (7, 9), (5, 40)])
@pytest.mark.parametrize(
    ('operation', 'values'),
    [
        ('brightness', (0, 0.2, 1.3, 2)),
        ('contrast', (0, 0.2, 1.3, 2)),
        ('saturation', (0, 0.2, 1.3, 2)),
        ('hue', (-0.5, -0.2, -1 / 6, 1e-4, 0.1, 0.5)),
        ('grey', (1,)),
        ('sigma', (0.1, 0.3, 1, 2)),
        ('threshold', (0, 128 / 255, 0.9, 1)),
    ],
)
def test_each_operation_is_that_of_torchvision(change, height, width, operation, values):
    batch, rows = batch_of(height, width, [row(**{operation: value}) for value in values])
    torch.testing.assert_close(change(batch.clone(), rows), expected(batch, rows), **TOLERANCE)


def random_rows(number, seed=0):
    """All orders, wider than any published recipe; at the threshold, solarisation makes no jump."""
    random = np.random.default_rng(seed)
    columns = [np.arange(number) % len(ORDERS), *random.uniform(0, 2, (3, number)), random.uniform(-0.5, 0.5, number)]
    columns += [random.random(number) < 0.3, random.uniform(0.1, 2, number) * (random.random(number) < 0.7)]
    columns += [np.where(random.random(number) < 0.5, 0.5, np.inf)]
    return np.stack(columns, axis=1).astype(np.float32)


@paths
@pytest.mark.parametrize(('height', 'width', 'number'), [(224, 224, 4), (37, 61, 48)])
def test_a_chain_in_any_order_is_that_of_torchvision(change, height, width, number):
    kinds = images(height, width)
    batch = torch.stack([kinds[kind] for kind in ('photograph', 'saturated') for _ in range(number // 2)])
    rows = random_rows(number)
    torch.testing.assert_close(change(batch.clone(), rows), expected(batch, rows), **TOLERANCE)


@paths
@pytest.mark.parametrize('shift', [-0.5, -0.31, -1e-3, 1 / 3, 0.5])
def test_the_shifted_hue_is_that_of_colorsys_in_float64(change, shift):
    batch = torch.stack([images(4, 8)[kind] for kind in ('noise', 'saturated', 'two equal channels')])
    reference = np.empty(batch.shape)
    for place in np.ndindex(3, 4, 8):
        pixel = (place[0], slice(None), *place[1:])
        hue, saturation, value = colorsys.rgb_to_hsv(*batch[pixel].double().tolist())
        reference[pixel] = colorsys.hsv_to_rgb((hue + float(np.float32(shift))) % 1, saturation, value)
    changed = change(batch, [row(hue=shift)] * 3)
    np.testing.assert_allclose(changed, reference, rtol=0, atol=3e-6)


@paths
@pytest.mark.parametrize('sigma', [0.25, 1, 2, 5])
def test_the_tails_of_the_gaussian_that_are_left_out_do_not_show(change, sigma):
    # At an edge between black and white whatever is left out of the kernel is missing in full.
    step = (torch.arange(96) < 48).float().expand(1, 3, 96, 96).contiguous()
    offsets = torch.arange(-47, 48).double()
    kernel = torch.softmax(-0.5 * (offsets / sigma).square(), dim=0)
    reference = torch.nn.functional.conv1d(
        torch.nn.functional.pad(step[:1, 0, :1].double(), (47, 47), 'reflect'), kernel[None, None]
    )
    for image in (step.clone(), step.transpose(2, 3).clone()):
        changed = change(image, [row(sigma=sigma)])[0]
        profile = changed[0, 40] if changed[0, 0, 0] != changed[0, 0, -1] else changed[0, :, 40]
        torch.testing.assert_close(profile.double(), reference[0, 0], rtol=0, atol=3.2e-5)  # one tail beyond 4 sigma


@paths
def test_an_image_without_changes_stays_bit_for_bit_as_it_is(change):
    batch, rows = batch_of(37, 61, [UNCHANGED, row(*UNCHANGED), row(sigma=1, hue=0.1), row(order=23)])
    changed = change(batch.clone(), rows)
    same = torch.tensor([place % 4 != 2 for place in range(len(batch))])
    assert changed[same].equal(batch[same])


@paths
def test_images_do_not_depend_on_the_others_of_their_batch(change):
    batch, rows = batch_of(24, 40, random_rows(12))
    together = change(batch.clone(), rows)
    alone = torch.cat([change(image[None].clone(), values[None]) for image, values in zip(batch, rows, strict=True)])
    # All at once, the largest sigma decides how far the tails of every image's Gaussian reach.
    torch.testing.assert_close(together, alone, **(TOLERANCE if change is all_at_once else dict(rtol=0, atol=0)))


@paths
def test_the_order_in_memory_does_not_matter(change):
    batch, rows = batch_of(24, 40, random_rows(12))
    strided = batch.clone(memory_format=torch.channels_last)
    assert change(strided, rows) is strided
    torch.testing.assert_close(strided.contiguous(), change(batch, rows), rtol=0, atol=1e-6)


@paths
def test_values_stay_finite_and_in_range(change):
    extremes = [
        row(order, *factors, hue, grey, sigma, threshold)
        for order, factors in enumerate([(0, 2, 2), (2, 0, 2), (2, 2, 0), (0, 0, 0), (2, 2, 2)])
        for hue in (-0.5, 0, 0.5)
        for grey, sigma, threshold in [(0, 1e-6, 0), (1, 0, 0.5), (0, 2, math.inf)]
    ]
    changed = change(*batch_of(7, 9, extremes))
    assert changed.min() > -1e-5 and changed.max() < 1 + 1e-5  # and none is NaN, which compares to nothing


@pytest.mark.parametrize('shape', [(1, 1), (1, 30), (30, 1), (2, 3)])
@paths
def test_images_of_a_few_pixels_are_changed_too(change, shape):
    image = torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(0))
    parameters = row(hue=0.2, saturation=0.5)
    torch.testing.assert_close(
        change(image.clone(), [parameters])[0], by_torchvision(image[0], parameters), **TOLERANCE
    )
    assert change(image, [row(sigma=2)]).isfinite().all()


def test_mixed_precision_changes_nothing():
    batch, rows = batch_of(24, 40, random_rows(6))
    with torch.autocast('cpu', torch.bfloat16):
        mixed = change_photometry(batch.clone(), Photometric.of_rows(rows))
    assert mixed.equal(image_by_image(batch.clone(), rows))


def test_images_are_changed_in_place_however_they_lie_in_memory():
    batch, rows = batch_of(24, 40, random_rows(6))
    channels_last = batch.clone().contiguous(memory_format=torch.channels_last)
    assert image_by_image(channels_last, rows) is channels_last
    torch.testing.assert_close(channels_last, image_by_image(batch, rows), rtol=0, atol=2e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_gives_what_a_cpu_gives_and_is_never_waited_for():
    batch, rows = batch_of(37, 61, random_rows(24))
    on_gpu = batch.cuda()
    change_photometry(on_gpu.clone(), Photometric.of_rows(rows))  # whatever is set up once
    torch.cuda.set_sync_debug_mode('error')
    try:
        change_photometry(on_gpu, Photometric.of_rows(rows))
    finally:
        torch.cuda.set_sync_debug_mode('default')
    torch.testing.assert_close(on_gpu.cpu(), image_by_image(batch, rows), **TOLERANCE)


@pytest.mark.slow  # compiles
@pytest.mark.ci
def test_compiled_jitter_is_the_same_whatever_the_number_of_images():
    torch._dynamo.reset()
    for number in (24, 7, 30, 13):
        batch, rows = batch_of(24, 40, random_rows(number, seed=number))
        compiled = batch.clone()
        with torch.no_grad():
            _change_all(compiled, Photometric.of_rows(rows), compiled=True)
        torch.testing.assert_close(compiled, expected(batch, rows), **TOLERANCE)
