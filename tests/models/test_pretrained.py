import copy

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS as ROOT
from mmengine.runner import save_checkpoint
from safetensors.torch import save_file

from mmdclpp.errors import UserError
from mmdclpp.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=32)
VIT = dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=32, patch_size=8)
RESNET = dict(type='mmpretrain.ResNet', depth=18)
WIDTHS = {'VisionTransformer': 24, 'ResNet': 512}


def build_model(kind, backbone, checkpoint):
    width = WIDTHS[backbone['type'].split('.')[1]]
    init_cfg = dict(type='Pretrained', _scope_='mmdclpp', part='backbone', checkpoint=checkpoint)
    if kind == 'probe':
        out = dict(out_type='raw') if width == 24 else {}
        head = dict(type='MultiLabelLinearHead', num_classes=3, in_channels=width)
        model = dict(_scope_='mmdclpp', type='LinearProbe', backbone={**backbone, **out}, head=head)
    else:
        out = dict(out_type='featmap') if width == 24 else {}
        head = dict(
            type='FCNHead', in_channels=width, channels=width, in_index=-1, num_classes=3, norm_cfg=dict(type='BN')
        )
        model = dict(_scope_='mmseg', type='EncoderDecoder', backbone={**backbone, **out}, decode_head=head)
    return ROOT.build(dict(**model, init_cfg=init_cfg))


def initialised(*args):
    model = build_model(*args)
    model.init_weights()
    return model


def random_state(backbone):
    """The state dict of a backbone of which every entry, buffers too, is random."""
    state_dict = MODELS.build(backbone).state_dict()
    torch.manual_seed(1)
    return {k: torch.rand_like(v) if v.is_floating_point() else v + 7 for k, v in state_dict.items()}


def write(path, state_dict):
    """A checkpoint as mmengine writes it, of a model with a neck besides its backbone."""
    state_dict = {f'backbone.{k}': v for k, v in state_dict.items()}
    save_checkpoint(dict(meta=dict(epoch=3), state_dict={**state_dict, 'neck.fc.weight': torch.rand(2, 2)}), str(path))
    return str(path)


@pytest.mark.parametrize('kind', ['probe', 'segmentor'])
@pytest.mark.parametrize('backbone', [VIT, RESNET], ids=['ViT', 'ResNet'])
@pytest.mark.parametrize('whole', [True, False], ids=['whole model', 'plain state dict'])
def test_after_initialisation_the_backbone_is_the_checkpoints_bit_for_bit(tmp_path, kind, backbone, whole):
    expected = random_state(backbone)
    path = tmp_path / 'epoch_3.pth'
    write(path, expected) if whole else torch.save(expected, path)
    result = initialised(kind, backbone, str(path)).backbone.state_dict()
    assert result.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(result[key], value), key


@pytest.mark.parametrize('elsewhere', [dict(layer4='head.stage'), None])
def test_a_stage_that_the_model_keeps_elsewhere_is_loaded_there_and_is_no_rest(tmp_path, elsewhere):
    expected = random_state(RESNET)
    path = write(tmp_path / 'epoch_3.pth', expected)
    model = BaseModule(init_cfg=dict(type='Pretrained', part='backbone', elsewhere=elsewhere, checkpoint=path))
    three = dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,))
    model.backbone = MODELS.build({**RESNET, **three})
    model.head = torch.nn.ModuleDict(dict(stage=MODELS.build(RESNET).layer4))
    if elsewhere is None:
        with pytest.raises(UserError, match='keys: .* unexpected .layer4.0'):
            model.init_weights()
        return
    model.init_weights()
    assert 'layer4' not in dict(model.backbone.named_children())
    result = {**model.backbone.state_dict(), **model.head.stage.state_dict(prefix='layer4.')}
    assert result.keys() == expected.keys()
    assert all(torch.equal(result[key], value) for key, value in expected.items())


@pytest.mark.parametrize('checkpoint', [None, ''])
@pytest.mark.parametrize('backbone', [VIT, RESNET], ids=['ViT', 'ResNet'])
def test_without_a_checkpoint_the_backbone_initialises_itself_as_if_alone(checkpoint, backbone):
    model = build_model('probe', backbone, checkpoint)
    alone = copy.deepcopy(model.backbone)
    for module in (model, alone):
        torch.manual_seed(2)
        module.init_weights()
    assert all(torch.equal(model.backbone.state_dict()[key], value) for key, value in alone.state_dict().items())


@pytest.mark.parametrize('kind', ['probe', 'segmentor'])
def test_the_position_embedding_is_resized_to_another_image_size(tmp_path, kind):
    state_dict = random_state(VIT)
    constant = torch.arange(24.0).expand(1, 17, 24)  # the same at every position, so at any resolution
    path = write(tmp_path / 'a.pth', {**state_dict, 'pos_embed': constant})
    backbone = initialised(kind, {**VIT, 'img_size': 48}, path).backbone
    torch.testing.assert_close(backbone.pos_embed, constant[:, :1].expand(1, 37, 24))


def drop(state_dict, *keys):
    return {k: v for k, v in state_dict.items() if k not in keys}


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda s: drop(s, 'cls_token', 'ln1.bias'), r'2 missing \(cls_token, ln1.bias\)'),
        (lambda s: {**s, 'extra': torch.rand(1)}, r'1 unexpected \(extra\)'),
        (lambda s: {**s, 'ln1.bias': torch.rand(5)}, r'1 of another shape \(ln1.bias\)'),
        (
            lambda s: {**drop(s, 'cls_token'), 'extra': torch.rand(1), 'ln1.bias': torch.rand(5)},
            r'1 missing \(cls_token\); 1 unexpected \(extra\); 1 of another shape \(ln1.bias\)',
        ),
        (
            lambda s: {f'student.{k}': v for k, v in s.items()},
            r"holds no weights of a VisionTransformer: it has the keys student.cls_token, .* after 'backbone.'",
        ),
    ],
    ids=['missing', 'unexpected', 'shape', 'all three', 'another model'],
)
def test_a_checkpoint_that_does_not_fit_is_refused_with_the_keys(tmp_path, change, message):
    path = write(tmp_path / 'a.pth', change(random_state(VIT)))
    with pytest.raises(UserError, match=message) as error:
        initialised('probe', VIT, path)
    assert '\n' not in str(error.value)


def test_a_deeper_checkpoint_is_refused(tmp_path):
    path = write(tmp_path / 'a.pth', random_state({**VIT, 'arch': {**ARCH, 'num_layers': 3}}))
    with pytest.raises(UserError, match='unexpected'):
        initialised('segmentor', VIT, path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"checkpoint='.*nowhere.pth' does not exist"):
        initialised('segmentor', VIT, str(tmp_path / 'nowhere.pth'))


@pytest.mark.parametrize('content', [b'', b'not a checkpoint', b'PK\x03\x04 torn'], ids=['empty', 'text', 'torn'])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content):
    path = tmp_path / 'a.pth'
    path.write_bytes(content)
    with pytest.raises(UserError, match='a.pth is cut off or no checkpoint'):
        initialised('probe', VIT, str(path))


def test_a_part_is_loaded_from_a_safetensors_file(tmp_path):
    expected = random_state(VIT)
    save_file({f'backbone.{key}': value for key, value in expected.items()}, tmp_path / 'a.safetensors')
    result = initialised('segmentor', VIT, str(tmp_path / 'a.safetensors')).backbone.state_dict()
    assert all(torch.equal(result[key], value) for key, value in expected.items())


@pytest.mark.parametrize(('content', 'message'), [(None, 'does not exist'), (b'none', 'is cut off')])
def test_a_safetensors_file_that_is_none_is_named(tmp_path, content, message):
    path = tmp_path / 'a.safetensors'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf'a.safetensors.* {message}'):
        initialised('probe', VIT, str(path))


def test_a_file_without_weights_is_named(tmp_path):
    torch.save(dict(meta=dict(epoch=1)), tmp_path / 'a.pth')
    with pytest.raises(UserError, match='a.pth holds no weights'):
        initialised('probe', VIT, str(tmp_path / 'a.pth'))


def test_without_a_part_it_is_mmengines_pretrained(tmp_path):
    state_dict = random_state(VIT)
    path = write(tmp_path / 'a.pth', drop(state_dict, 'cls_token'))
    init_cfg = dict(type='Pretrained', _scope_='mmdclpp', checkpoint=path, prefix='backbone.')
    backbone = MODELS.build({**VIT, 'init_cfg': init_cfg})
    backbone.init_weights()  # as mmengine's, it bears the missing key
    assert torch.equal(backbone.pos_embed, state_dict['pos_embed'])
