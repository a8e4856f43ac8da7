"""Embedding images: what the backbone sees of them, what comes back, and where matches lie."""

import numpy as np
import pytest
import torch
from mmpretrain.models import ClsDataPreprocessor
from PIL import Image
from torch import nn

from mmdclpp.apis import extract, load_backbone, match
from mmdclpp.apis._runner import shipped_config
from mmdclpp.apis.embedding import PretrainedBackbone
from mmdclpp.apis.evaluation.resize import set_image_size
from mmdclpp.apis.sources.model_source import ModelSource
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.models.backbones.layers import extract_layers
from mmdclpp.registry import DATASETS, MODELS

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=24)
VIT = dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
RESNET = dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8)
TIMM = dict(
    type='mmpretrain.TIMMBackbone',
    model_name='vit_tiny_patch16_224',
    patch_size=8,
    img_size=32,
    embed_dim=24,
    depth=2,
    num_heads=2,
    dynamic_img_size=True,
)
RGB = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
BGR = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 2.0, 3.0], to_rgb=False)


def load(backbone=VIT, normalise=RGB, aggregate='gap', image_size=32):
    source = ModelSource('mine', 'ViT', backbone, None, normalise, aggregate, image_size)
    return PretrainedBackbone(source, 'cpu')


@pytest.fixture(scope='module')
def vit():
    return load()


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


# What the backbone sees.


@pytest.mark.parametrize('normalise', [RGB, BGR], ids=['RGB', 'BGR'])
def test_an_image_is_preprocessed_as_in_evaluations(tiny_coco, normalise):
    pipeline = shipped_config('benchmarks/linear/vit-s16_coco.py').val_dataloader.dataset.pipeline
    pipeline = set_image_size(pipeline, 48)
    dataset = DATASETS.build(dict(type='UnlabelledImages', data_root=str(tiny_coco / 'images'), pipeline=pipeline))
    preprocessor = ClsDataPreprocessor(**normalise)
    model = load(normalise=normalise, image_size=48)
    for index in range(3):
        expected = preprocessor({'inputs': dataset[index]['inputs'][None]})['inputs']
        found = model.preprocess(dataset.get_data_info(index)['img_path'])
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def forms(array, folder):
    Image.fromarray(array).save(folder / 'image.png')
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    opaque = np.concatenate([array, noise(*array.shape[:2], 1)], axis=2)
    return {
        'a string': str(folder / 'image.png'),
        'a path': folder / 'image.png',
        'PIL': Image.fromarray(array),
        'PIL, RGBA': Image.fromarray(opaque),
        'RGBA': opaque,
        'a tensor': tensor,
        'a tensor, RGBA': torch.from_numpy(opaque).permute(2, 0, 1),
        'floats': tensor / 255,
        'doubles with gradient': (tensor.double() / 255).requires_grad_(),
    }


def test_an_image_is_the_same_in_every_form(vit, tmp_path):
    array = noise(20, 30)
    expected = vit.preprocess(array)
    for name, image in forms(array, tmp_path).items():
        assert torch.equal(vit.preprocess(image), expected), name


def test_a_grey_image_has_three_equal_channels(vit):
    grey = noise(20, 30, 1)
    expected = vit.preprocess(np.repeat(grey, 3, axis=2))
    for image in (grey, grey[..., 0], Image.fromarray(grey[..., 0]), torch.from_numpy(grey).permute(2, 0, 1)):
        assert torch.equal(vit.preprocess(image), expected)


def test_the_orientation_in_exif_is_followed_in_files_and_pictures(vit, tmp_path):
    upright = noise(20, 30)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown, it is turned by a quarter clockwise
    Image.fromarray(np.rot90(upright)).save(tmp_path / 'turned.png', exif=exif)
    for image in (tmp_path / 'turned.png', Image.open(tmp_path / 'turned.png')):
        assert torch.equal(vit.preprocess(image), vit.preprocess(upright))


@pytest.mark.parametrize(
    ('size', 'keep_ratio', 'expected'),
    [
        (None, False, (32, 32)),
        (48, False, (48, 48)),
        (45, False, (48, 48)),
        (3, False, (8, 8)),
        ((16, 41), False, (16, 40)),
        (np.int64(48), False, (48, 48)),
        (np.int64(24), True, (24, 48)),
        (None, True, (32, 64)),
        (24, True, (24, 48)),
    ],
)
def test_sizes_are_whole_patches(vit, size, keep_ratio, expected):
    assert vit.preprocess(noise(50, 100), size, keep_ratio).shape == (1, 3, *expected)


def test_a_cnn_takes_any_size():
    model = load(RESNET)
    assert model.patch_size == 1
    assert model.preprocess(noise(50, 100), (45, 67)).shape == (1, 3, 45, 67)


@pytest.mark.parametrize(
    ('image', 'options', 'message'),
    [
        ('missing.jpg', {}, 'missing.jpg'),
        (3, {}, 'int is no image'),
        (noise(4, 4).astype(float), {}, r'\(4, 4, 3\) and type float64 is no image'),
        (noise(4, 4, 2), {}, r'\(4, 4, 2\)'),
        (torch.zeros(5, 4, 3), {}, r'\(5, 4, 3\) is no image: give \(C, H, W\)'),
        (torch.full((3, 4, 4), 2.0), {}, 'from 2 to 2: give floats from 0 to 1'),
        (torch.full((3, 4, 4), torch.nan), {}, 'give floats from 0 to 1'),
        (np.zeros((0, 4, 3), np.uint8), {}, r'\(0, 4, 3\)'),
        (torch.zeros(3, 0, 4), {}, r'\(3, 0, 4\) is no image'),
        (Image.new('RGB', (0, 4)), {}, '0 × 4 px'),
        (noise(4, 4), dict(size=0), 'size=0'),
        (noise(4, 4), dict(size=(8, 8, 8)), r'size=\(8, 8, 8\)'),
        (noise(4, 4), dict(size=True), 'size=True is no size'),
        (noise(4, 4), dict(size=224.0), 'size=224.0 is no size'),
        (noise(4, 4), dict(size='8'), "size='8' is no size"),
        (noise(4, 4), dict(size=(8, 8), keep_ratio=True), 'own proportions'),
    ],
)
def test_what_is_no_image_or_size_is_explained(vit, image, options, message):
    with pytest.raises(UserError, match=message):
        vit.preprocess(image, **options)


def test_pictures_of_16_bits_are_stretched_as_their_files_are(vit, tmp_path):
    values = np.random.default_rng(0).integers(900, 5000, (20, 30)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / 'deep.png')
    expected = vit.preprocess(tmp_path / 'deep.png')
    assert expected.std() > 0.5  # not black
    for image in (Image.open(tmp_path / 'deep.png'), Image.fromarray(values.astype(np.float32))):
        torch.testing.assert_close(vit.preprocess(image), expected)


def test_a_picture_that_is_cut_off_is_explained(vit, tmp_path):
    Image.fromarray(noise(40, 40)).save(tmp_path / 'a.png')
    (tmp_path / 'a.png').write_bytes((tmp_path / 'a.png').read_bytes()[:2000])
    with pytest.raises(UserError, match='a PIL image cannot be decoded'):
        vit.preprocess(Image.open(tmp_path / 'a.png'))


# Position embeddings at other sizes.


def test_a_position_embedding_is_resized_as_mmpretrain_does_for_a_model_of_that_size(vit):
    larger = MODELS.build({**VIT, 'img_size': (48, 64)})
    larger.load_state_dict(vit.backbone.state_dict())  # resizes
    larger.eval()
    batch = vit.preprocess(noise(48, 64), (48, 64))
    found, expected = vit(batch), extract_features(larger, batch)
    assert found.grid == expected.grid == (6, 8)
    torch.testing.assert_close(found.positions, expected.positions)


def test_a_position_embedding_is_resized_as_timm_does_for_a_model_of_that_size():
    model, other = load(TIMM), load(TIMM)
    other.load_state_dict(model.state_dict())
    other.backbone.timm_model.set_input_size(img_size=(48, 64))
    batch = model.preprocess(noise(48, 64), (48, 64))
    torch.testing.assert_close(model(batch).positions, other(batch).positions)


# Features.


@pytest.mark.parametrize(('backbone', 'aggregate'), [(VIT, 'cls'), (VIT, 'gap'), (RESNET, 'gap'), (TIMM, 'cls')])
def test_features_are_those_of_the_backbone(backbone, aggregate):
    model, images = load(backbone, aggregate=aggregate), [noise(20, 30), noise(40, 40)]
    batch = torch.cat([model.preprocess(image) for image in images])
    found = extract(model, images, layers=[0, -1])
    expected = [extract_features(model.backbone, batch), *extract_layers(model.backbone, batch, [0, -1])]
    for one, features in zip((found, found.layers[0], found.layers[-1]), expected, strict=True):
        torch.testing.assert_close(one.global_, features.aggregate(aggregate))
        torch.testing.assert_close(one.dense.flatten(2).transpose(1, 2), features.positions)
        assert one.dense.shape[2:] == features.grid
        assert not one.dense.requires_grad
    assert list(found.layers) == [0, -1]


@pytest.mark.parametrize('batch_size', [1, 3, 32])
def test_neither_batches_nor_what_is_asked_for_change_features(vit, batch_size, capsys):
    images = [noise(20 + seed, 30, seed=seed) for seed in range(7)]
    together = extract(vit, images)
    found = extract(vit, images, dense=False, batch_size=batch_size, layers=[0])
    torch.testing.assert_close(found.global_, together.global_)
    assert found.dense is None and found.layers[0].dense is None
    assert ('100 %' in capsys.readouterr().out) == (batch_size < 7)


@pytest.mark.parametrize('batch', [noise(20, 30), Image.fromarray(noise(20, 30)), noise(20, 30)[None]])
def test_one_image_may_be_given_by_itself_and_a_batch_as_an_array(vit, batch):
    torch.testing.assert_close(extract(vit, batch).dense, extract(vit, [noise(20, 30)]).dense)


def test_proportions_are_kept_for_images_that_come_to_one_size(vit):
    assert extract(vit, [noise(20, 40), noise(30, 60)], size=24, keep_ratio=True).dense.shape[2:] == (3, 6)
    with pytest.raises(UserError, match='come to 24 × 48 and 48 × 24 px'):
        extract(vit, [noise(20, 40), noise(40, 20)], size=24, keep_ratio=True, batch_size=1)


@pytest.mark.parametrize(
    ('images', 'options', 'message'),
    [
        ([], {}, 'none given'),
        (noise(8, 8), dict(batch_size=0), 'batch_size=0'),
        (noise(8, 8), dict(layers=[2]), 'no layer 2'),
        (noise(8, 8), dict(layers=1), 'give a list of integers'),
        (noise(8, 8), dict(layers='last'), 'give a list of integers'),
        (None, {}, 'NoneType is no image'),
        (3, {}, 'int is no image'),
    ],
)
def test_a_wrong_request_is_explained(vit, images, options, message):
    with pytest.raises(UserError, match=message):
        extract(vit, images, **options)


# Models.


def test_a_timm_checkpoint_gives_timms_own_features(tmp_path):
    import timm

    torch.manual_seed(0)
    reference = timm.create_model('test_vit').eval()
    torch.save(reference.state_dict(), tmp_path / 'weights.pth')
    model = load_backbone(tmp_path / 'weights.pth', backbone='timm:test_vit', aggregate='cls', device='cpu')
    assert not model.training and model.device.type == 'cpu'
    image = noise(160, 160)
    expected = reference.forward_features(model.preprocess(image))
    found = extract(model, image)
    torch.testing.assert_close(found.global_, expected[:, 0])
    torch.testing.assert_close(found.dense.flatten(2).transpose(1, 2), expected[:, reference.num_prefix_tokens :])


def write_config(folder, backbone):
    (folder / 'config.py').write_text(f'model = dict(backbone={backbone!r})')
    return folder / 'config.py'


def test_a_timm_backbone_of_a_config_takes_images_of_any_size_too(tmp_path):
    fixed = {key: value for key, value in TIMM.items() if key != 'dynamic_img_size'}
    model = load_backbone('random', config=write_config(tmp_path, fixed))
    assert extract(model, noise(20, 30), size=(16, 40)).dense.shape == (1, 24, 2, 5)


def test_a_backbone_whose_module_is_not_imported_is_named_with_the_remedy(tmp_path):
    with pytest.raises(UserError, match='backbone mmdclpp.Mine is registered nowhere.*PYTHONPATH'):
        load_backbone('random', config=write_config(tmp_path, dict(type='Mine')))


def test_a_model_is_trainable_through_its_forward_and_stays_one_module(vit):
    vit(vit.preprocess(noise(8, 8))).positions.sum().backward()
    assert all(parameter.grad is not None for parameter in vit.backbone.layers.parameters())
    assert vit.train() is vit and vit.backbone.training
    assert vit.eval() is vit and not vit.backbone.training
    assert all(name.startswith('backbone.') for name in vit.state_dict())


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float64])
def test_a_model_may_compute_in_another_precision(dtype):
    model, image = load(), noise(20, 30)
    expected = extract(model, image, layers=[0])
    found = extract(model.to(dtype), image, layers=[0])
    assert model(model.preprocess(image)).positions.dtype == dtype
    for one, other in ((found, expected), (found.layers[0], expected.layers[0])):
        assert one.global_.dtype == one.dense.dtype == torch.float32
        torch.testing.assert_close(one.global_, other.global_, atol=0.05, rtol=0.05)


# Matches.


@pytest.fixture
def patchwise():
    """A model whose feature of a patch of 8 px depends on this patch alone."""
    model = load()
    torch.manual_seed(0)
    model.backbone = nn.Conv2d(3, 32, 8, 8)
    return model


def test_matches_are_points_in_px_of_the_original_images(patchwise):
    blocks = noise(6, 8).repeat(2, 0).repeat(2, 1)  # 12 × 16 px
    first = blocks.repeat(4, 0).repeat(4, 1)  # seen as it is: 48 × 64 px, patches of 8 px
    second = np.roll(first, (8, 24), (0, 1)).repeat(2, 0)  # one row down, three columns on; and 96 px high
    found = match(patchwise, first, second, size=(48, 64))
    assert (found.grid_a, found.grid_b) == ((6, 8), (6, 8))
    rows, columns = torch.meshgrid(torch.arange(6), torch.arange(8), indexing='ij')
    assert torch.equal(found.target.view(6, 8), (rows + 1) % 6 * 8 + (columns + 3) % 8)
    assert found.mutual.all() and (found.similarity > 0.95).all()
    expected = torch.stack([columns * 8 + 4, rows * 8 + 4], -1).flatten(0, 1)
    torch.testing.assert_close(found.points_a, expected.float())
    expected = torch.stack([(columns + 3) % 8 * 8 + 4, (rows + 1) % 6 * 16 + 8], -1).flatten(0, 1)
    torch.testing.assert_close(found.points_b, expected.float())


def test_images_of_other_proportions_may_be_matched(patchwise):
    first = noise(4, 3).repeat(8, 0).repeat(8, 1)
    second = first[8:24]  # the two rows of patches in the middle
    found = match(patchwise, first, second, size=(32, 24))
    assert found.grid_a == found.grid_b == (4, 3)
    found = match(patchwise, first, second, size=16, keep_ratio=True)  # the first one smaller than it is
    assert (found.grid_a, found.grid_b) == ((3, 2), (2, 3))
    found = match(patchwise, second, first, size=24, keep_ratio=True)
    assert (found.grid_a, found.grid_b) == ((3, 4), (4, 3))
    assert len(found.target) == 12 and found.target.max() < 12


def test_a_layer_to_match_by_may_be_chosen(vit):
    images = noise(32, 32), noise(32, 32, seed=1)
    batch = [vit.preprocess(image) for image in images]
    a, b = (nn.functional.normalize(extract_layers(vit.backbone, one, [0])[0].positions[0], dim=-1) for one in batch)
    found = match(vit, *images, layer=0)
    torch.testing.assert_close(found.similarity, (a @ b.T).amax(1))
    assert torch.equal(match(vit, *images, layer=-1).target, match(vit, *images).target)
