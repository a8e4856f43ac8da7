"""Exports, as users of each library find them."""

import json
import os
import runpy
import signal
import sys

import numpy as np
import pytest
import timm
import torch
from mmengine.config import Config
from PIL import Image

from mmdclpp.apis import export, load_backbone
from mmdclpp.apis.exporting import mm, to_hf, to_timm
from mmdclpp.apis.exporting.check import check_keys
from mmdclpp.apis.sources.read_sources import read_sources
from mmdclpp.errors import UserError

from .conftest import BACKBONES, RESNET, TIMM_VIT, VIT, run_card, write_checkpoint

slow = pytest.mark.slow
_FAST = {
    'timm': ('ViT, cls', 'ViT, variant', 'ResNet', 'timm ViT'),
    'hf': ('ViT, cls', 'ViT, gap', 'ResNet'),
    'mmpretrain': ('ViT, cls', 'ViT, gap', 'ResNet'),
    'mmseg': ('ViT, gap', 'timm ViT'),
    'torchscript': ('ViT, cls',),
}
LIBRARIES = {
    'timm': BACKBONES,
    'hf': ('ViT, cls', 'ViT, gap', 'ResNet', 'ResNet, bottlenecks'),
    'mmpretrain': ('ViT, cls', 'ViT, gap', 'ResNet', 'timm ViT', 'timm CNN'),
    'mmseg': ('ViT, gap', 'ResNet', 'timm ViT', 'timm CNN'),
    'torchscript': ('ViT, cls', 'ResNet', 'timm CNN'),
    'onnx': ('ViT, cls', 'ViT, gap', 'ResNet', 'timm ViT', 'timm CNN'),
}
CASES = [
    pytest.param(to, name, marks=[] if name in _FAST.get(to, ()) else slow)
    for to, names in LIBRARIES.items()
    for name in names
]


def features_of(checkpoint, images):
    """Global and dense features of the checkpoint's backbone, by another way than the exporter's own check."""
    model = load_backbone(checkpoint, device='cpu')
    with torch.no_grad():
        features = model(torch.as_tensor(images))
    dense = features.positions.transpose(1, 2).unflatten(2, features.grid)
    return features.aggregate(model.source.aggregate), dense


def assert_features(checkpoint, images, found):
    """``found``, one of the two, is as the backbone gives it of normalised images."""
    global_, dense = features_of(checkpoint, images)
    found = torch.as_tensor(found)
    expected = global_ if found.dim() == 2 else dense
    torch.testing.assert_close(found, expected, atol=1e-4 * max(expected.abs().max().item(), 1), rtol=0)


@pytest.mark.parametrize(('to', 'name'), CASES)
def test_the_code_of_the_model_card_gives_the_backbones_features(checkpoint, monkeypatch, to, name):
    file = checkpoint(name)
    variables = run_card(export(file, to), monkeypatch)
    assert_features(file, variables['images'], variables['features'])


@pytest.mark.parametrize('name', ['ViT, variant', pytest.param('ResNet', marks=slow)])
def test_a_timm_model_has_no_head_until_a_user_asks_for_one(checkpoint, name):
    folder = export(checkpoint(name), 'timm')
    model = timm.create_model(f'local-dir:{folder}', pretrained=True, num_classes=5).eval()
    assert model(torch.rand(1, 3, *model.pretrained_cfg['input_size'][1:])).shape == (1, 5)


def test_a_timm_vit_takes_any_size_and_can_be_built_for_another(checkpoint):
    folder = export(checkpoint('ViT, cls'), 'timm')
    dynamic = timm.create_model(f'local-dir:{folder}', pretrained=True).eval()
    larger = timm.create_model(f'local-dir:{folder}', pretrained=True, img_size=64).eval()
    assert larger.pos_embed.shape == (1, 65, 24)
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(dynamic(images), larger(images))
    assert dynamic.forward_features(torch.rand(1, 3, 40, 56)).shape == (1, 36, 24)


@pytest.mark.parametrize('to', ['timm', 'mmseg', 'torchscript'])
def test_exported_for_another_size_it_is_the_backbone_at_that_size(checkpoint, monkeypatch, to):
    file = checkpoint('ViT, gap')
    folder = export(file, to, img_size=48)
    variables = run_card(folder, monkeypatch)
    assert variables['images'].shape == (1, 3, 48, 48)
    assert_features(file, variables['images'], variables['features'])


@slow
def test_a_timm_backbone_too_is_exported_for_another_size(checkpoint, monkeypatch):
    folder = export(checkpoint('timm ViT'), 'timm', img_size=48)
    model = run_card(folder, monkeypatch)['model']
    assert model.pos_embed.shape == (1, 37, 24) and model.pretrained_cfg['input_size'][1:] == [48, 48]
    (source,) = read_sources([str(folder / 'model.safetensors')])
    assert torch.equal(source.build().timm_model.pos_embed, model.pos_embed)


@pytest.mark.parametrize('to', ['timm', 'hf'])
def test_images_are_prepared_there_as_here(checkpoint, monkeypatch, to):
    file = checkpoint('ViT, gap')
    variables = run_card(export(file, to), monkeypatch)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    if to == 'timm':
        found = variables['transform'](image)[None]
    else:
        found = variables['processor'](image, return_tensors='pt').pixel_values
    torch.testing.assert_close(found, load_backbone(file, device='cpu').preprocess(image), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ('to', 'file'), [('timm', 'model.safetensors'), ('hf', 'model.safetensors'), ('mmseg', 'backbone.pth')]
)
@pytest.mark.parametrize('name', ['ViT, cls', pytest.param('ResNet', marks=slow)])
def test_an_export_is_a_checkpoint_of_ours_still(checkpoint, to, file, name):
    original = checkpoint(name)
    before, after = read_sources([original, str(export(original, to) / file)])
    assert after.recipe == before.recipe and after.normalise == before.normalise
    states = [source.build().state_dict() for source in (before, after)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_another_global_feature_stays_with_the_export(checkpoint, monkeypatch):
    folder = export(checkpoint('ViT, gap'), 'timm', aggregate='cls')
    assert read_sources([str(folder / 'model.safetensors')])[0].aggregate == 'cls'
    assert run_card(folder, monkeypatch)['model'].global_pool == 'token'


@slow
def test_weights_alone_are_exported_by_the_name_of_their_architecture(tmp_path):
    torch.save(timm.create_model('resnet10t').state_dict(), tmp_path / 'mine.pth')
    folder = export(tmp_path / 'mine.pth', 'mmseg', backbone='timm:resnet10t')
    (source,) = read_sources([str(folder / 'backbone.pth')])
    assert source.backbone['model_name'] == 'resnet10t' and source.image_size == 224
    source.build()


def test_an_mmseg_config_inherits_the_fragment_wherever_the_folder_is(checkpoint, tmp_path):
    folder = export(checkpoint('ViT, gap'), 'mmseg').rename(tmp_path / 'moved')
    (tmp_path / 'mine.py').write_text(
        "_base_ = 'moved/config.py'\nmodel = dict(type='EncoderDecoder', data_preprocessor=dict(size=(64, 64)))\n"
    )
    cfg = Config.fromfile(tmp_path / 'mine.py')
    assert cfg.model.backbone.init_cfg.checkpoint == str(folder / 'backbone.pth')
    assert cfg.model.data_preprocessor.bgr_to_rgb and cfg.model.data_preprocessor.mean == [120.0, 110.0, 100.0]


@slow
def test_transformers_loads_the_timm_export_of_a_timm_backbone(checkpoint):
    from transformers import AutoModel

    file = checkpoint('timm ViT')
    model, info = AutoModel.from_pretrained(export(file, 'timm'), output_loading_info=True)
    assert not any(info.values())
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert_features(file, images, model.eval()(images).pooler_output)


def test_the_card_tells_config_data_metrics_and_licence_and_no_folder_of_the_machine(checkpoint, tmp_path):
    file = checkpoint('ViT, gap')
    (source,) = read_sources([file])
    evaluation = dict(metrics=dict(mAP=12.34, CP=5.0), protocol='linear')
    entries = [dict(fingerprint='other', evaluations={}), dict(fingerprint=source.fingerprint(source.build()))]
    entries[1]['evaluations'] = {'coco-linear': evaluation}
    (tmp_path / 'results.json').write_text(json.dumps(dict(models=entries)))
    folder = export(file, 'timm', metrics=tmp_path / 'results.json', license='cc-by-4.0')
    card = (folder / 'README.md').read_text()
    for part in (
        'license: "cc-by-4.0"',
        '# SimCLR, ViT 24×2/8',
        '| epochs | 2 |',
        '- UnlabelledImages: data_root `photos/`',
        '| coco-linear | mAP 12.3 | linear |',
        "type='mmpretrain.VisionTransformer'",
    ):
        assert part in card
    assert 'somebody' not in card + str((folder / 'model.safetensors').read_bytes()) and str(tmp_path) not in card


def break_timm(patch):
    mixed_up = [(rf'layers\.(\d+)\.ln{here}\.(.+)', [rf'blocks.\1.norm{there}.\2']) for here, there in ((1, 2), (2, 1))]
    patch.setattr(to_timm, 'VIT_RULES', (*mixed_up, *to_timm.VIT_RULES))


def break_timm_key(patch):
    patch.setattr(to_timm, 'VIT_RULES', ((r'ln1\.bias', ['norm.offset']), *to_timm.VIT_RULES))


def break_hf(patch):
    parts = [rf'encoder.layer.\1.attention.attention.{part}.\2' for part in ('key', 'query', 'value')]
    patch.setattr(to_hf, 'VIT_RULES', ((r'layers\.(\d+)\.attn\.qkv\.(.+)', parts), *to_hf.VIT_RULES))


def break_hf_key(patch):
    patch.setattr(to_hf, 'VIT_RULES', ((r'ln1\.bias', ['layernorm.offset']), *to_hf.VIT_RULES))


BROKEN = {
    'timm, two weights mixed up': ('timm', break_timm, "'global' is off by|'dense' is off by"),
    'timm, a weight misnamed': ('timm', break_timm_key, r"lacks \['norm.bias'\].*norm.offset"),
    'hf, two weights mixed up': ('hf', break_hf, 'is off by'),
    'hf, a weight misnamed': ('hf', break_hf_key, 'layernorm.bias'),
}


@pytest.mark.parametrize('case', BROKEN)
def test_a_wrong_translation_is_found_out_and_leaves_nothing(checkpoint, tmp_path, monkeypatch, case):
    to, break_it, message = BROKEN[case]
    file = checkpoint('ViT, gap')
    break_it(monkeypatch)
    with pytest.raises(UserError, match=message):
        export(file, to)
    assert [path.name for path in tmp_path.iterdir()] == ['epoch_2.pth']


def scale_weights(file, key, factor):
    content = torch.load(file, weights_only=False)
    for name, value in content['state_dict'].items():
        if name.startswith(key):
            value.mul_(factor)
    torch.save(content, file)
    return file


def test_small_outputs_hide_no_mistake(checkpoint, monkeypatch, tmp_path):
    file = scale_weights(checkpoint('ViT, gap'), 'backbone.ln1.', 1e-5)  # the final norm: outputs of about 1e-5
    export(file, 'hf', out=tmp_path / 'right')
    break_hf(monkeypatch)
    with pytest.raises(UserError, match='is off by'):
        export(file, 'hf', out=tmp_path / 'wrong')


def test_outputs_that_are_no_numbers_are_refused(checkpoint):
    file = scale_weights(checkpoint('ViT, gap'), 'backbone.ln1.bias', float('nan'))
    with pytest.raises(UserError, match='is off by nan'):
        export(file, 'timm')


def test_a_key_too_many_is_found_out_as_one_too_few():
    check_keys('x', {'a', 'b'}, {'a', 'b'})
    with pytest.raises(UserError, match=r"lacks \[\], and knows not 1 that it has \['b'\]"):
        check_keys('x', {'a'}, {'a', 'b'})
    with pytest.raises(UserError, match=r"lacks \['b'\]"):
        check_keys('x', {'a', 'b'}, {'a'})


@pytest.mark.parametrize('to', ['mmpretrain', 'mmseg'])
def test_weights_that_mmengine_would_only_warn_of_are_found_out(checkpoint, tmp_path, monkeypatch, to):
    file, whole = checkpoint('ViT, gap'), torch.save

    def save_without_a_key(content, place):
        del content['state_dict']['backbone.ln1.bias']
        whole(content, place)

    monkeypatch.setattr(mm.torch, 'save', save_without_a_key)
    with pytest.raises(UserError, match=r'1 weights that the export lacks .*backbone.ln1.bias'):
        export(file, to)
    assert [path.name for path in tmp_path.iterdir()] == ['epoch_2.pth']


def test_behind_a_link_its_target_is_written_and_the_link_stays(checkpoint, tmp_path):
    (tmp_path / 'real').mkdir()
    (tmp_path / 'link').symlink_to('real')
    assert export(checkpoint('ViT, gap'), 'timm', out=tmp_path / 'link') == tmp_path / 'real'
    export(tmp_path / 'epoch_2.pth', 'mmpretrain', out=tmp_path / 'link', overwrite=True)
    assert (tmp_path / 'link').is_symlink()
    assert {path.name for path in (tmp_path / 'real').iterdir()} == {'README.md', 'backbone.pth', 'config.py'}
    assert sorted(path.name for path in tmp_path.iterdir()) == ['epoch_2.pth', 'link', 'real']


@pytest.mark.parametrize('character', ["'", '"', '\\'])
@pytest.mark.parametrize('to', ['mmpretrain', 'mmseg'])
def test_a_path_that_would_break_the_config_is_refused(checkpoint, tmp_path, to, character):
    with pytest.raises(UserError, match='name another folder') as error:
        export(checkpoint('ViT, gap'), to, out=tmp_path / f'it{character}s')
    assert '\n' not in str(error.value) and [path.name for path in tmp_path.iterdir()] == ['epoch_2.pth']


def test_ended_by_a_scheduler_the_tool_leaves_as_if_interrupted(repo, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr('mmdclpp.apis.export', lambda **_: os.kill(os.getpid(), signal.SIGTERM), raising=False)
    monkeypatch.setattr(sys, 'argv', ['export.py', 'a.pth', '--to', 'timm', '--out-dir', 'b'])
    try:
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(repo / 'tools/export.py'))['main']()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert left.value.code == 143


def test_what_is_there_is_replaced_only_if_asked_for_and_only_if_it_is_an_export(checkpoint, tmp_path):
    file = checkpoint('ViT, gap')
    folder = export(file, 'timm')
    with pytest.raises(UserError, match='epoch_2_timm is there already'):
        export(file, 'timm')
    assert export(file, 'mmpretrain', out=folder, overwrite=True) == folder
    assert {path.name for path in folder.iterdir()} == {'README.md', 'backbone.pth', 'config.py'}
    (folder / 'thesis.tex').touch()
    with pytest.raises(UserError, match='holds more than an export'):
        export(file, 'timm', out=folder, overwrite=True)
    assert (folder / 'thesis.tex').exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['epoch_2.pth', 'epoch_2_timm']


@pytest.mark.parametrize(
    ('to', 'changes', 'arguments', 'message'),
    [
        ('hf', dict(with_cls_token=False), {}, 'to=hf: there is no such model with with_cls_token=False'),
        ('hf', dict(pre_norm=True), {}, 'pre_norm=True'),
        ('timm', dict(interpolate_mode='bilinear'), {}, "interpolate_mode='bilinear'"),
        ('timm', dict(norm_cfg=dict(type='LN')), {}, 'its norms have eps=1e-6'),
        ('timm', dict(out_indices=[0]), {}, r'out_indices=\[0\]'),
        ('timm', {}, dict(img_size=36), 'img_size=36 must be a multiple of 8 px, a patch: give --img-size 32'),
        ('hf', dict(img_size=36), {}, 'img_size=36 must be a multiple of 8 px, a patch: give --img-size 32'),
        ('timm', {}, dict(metrics='none.json'), 'metrics: none.json does not exist'),
        ('timm', {}, dict(fixed_size=True), 'fixed_size is for onnx and torchscript'),
        ('keras', {}, {}, "to='keras' is unknown: use one of timm"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(tmp_path, to, changes, arguments, message):
    file = write_checkpoint(tmp_path / 'a.pth', {**VIT, **changes})
    with pytest.raises(UserError, match=message) as error:
        export(file, to, **arguments)
    assert '\n' not in str(error.value) and [path.name for path in tmp_path.iterdir()] == ['a.pth']


@pytest.mark.parametrize(
    ('to', 'backbone', 'message'),
    [
        ('timm', {**RESNET, 'depth': 50, 'style': 'caffe'}, "style='caffe'"),
        ('timm', {**RESNET, 'dilations': (1, 1, 1, 2)}, 'dilations'),
        ('timm', {**RESNET, 'stem_channels': 8}, 'stem_channels=8'),
        ('timm', dict(type='mmpretrain.ConvNeXt', arch='atto', gap_before_final_norm=False), 'no counterpart in timm'),
        ('hf', dict(type='mmpretrain.TIMMBackbone', model_name='resnet10t'), 'use --to timm, and AutoModel'),
    ],
)
def test_a_backbone_that_the_library_has_not_is_refused(tmp_path, to, backbone, message):
    with pytest.raises(UserError, match=message):
        export(write_checkpoint(tmp_path / 'a.pth', backbone), to)


def test_a_model_of_bgr_images_is_not_given_to_libraries_of_rgb(tmp_path):
    file = write_checkpoint(tmp_path / 'a.pth', VIT, to_rgb=False)
    with pytest.raises(UserError, match='takes BGR images'):
        export(file, 'timm')
    assert 'BGR from 0 to 255' in (export(file, 'torchscript') / 'README.md').read_text()


def test_a_missing_library_is_named_with_the_extra_that_brings_it(checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(UserError, match=r'onnxruntime is not installed: pip install "mmdclpp\[export\]"'):
        export(checkpoint('ResNet'), 'onnx')


def test_a_graph_for_one_size_takes_one_size(checkpoint):
    folder = export(checkpoint('ViT, gap'), 'torchscript', fixed_size=True)
    assert 'of 32 × 32 px' in (folder / 'README.md').read_text()
    model = torch.jit.load(folder / 'model.pt')
    assert model(torch.rand(3, 3, 32, 32))[1].shape == (3, 24, 4, 4)


@slow
def test_an_onnx_graph_has_free_batch_and_size_and_tells_the_normalisation(checkpoint):
    import onnx

    graph = onnx.load(export(checkpoint('ViT, gap'), 'onnx') / 'model.onnx')
    dims = graph.graph.input[0].type.tensor_type.shape.dim
    assert [bool(dim.dim_param) for dim in dims] == [True, False, True, True]
    told = {entry.key: entry.value for entry in graph.metadata_props}
    assert told['mean'] == '[120.0, 110.0, 100.0]' and told['channel_order'] == 'RGB'
    assert not any(node.metadata_props for node in graph.graph.node)


@slow
def test_the_tool_exports(checkpoint, run, tmp_path):
    done = run('tools/export.py', checkpoint('ViT, gap'), '--to', 'timm', '--out', 'mine', '--img-size', 48)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'mine/model.safetensors').is_file()
    assert 'outputs in timm differ by at most' in done.stdout and not done.stderr
    again = run('tools/export.py', 'epoch_2.pth', '--to', 'timm', '--out', 'mine')
    assert (again.returncode, again.stderr.count('\n')) == (2, 1) and 'mine is there already' in again.stderr


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match='is a folder: give the file in it'):
        export(tmp_path, 'timm')


def test_a_model_of_one_size_is_not_exported_for_another(tmp_path):
    swin = dict(
        type='mmpretrain.TIMMBackbone',
        model_name='swin_tiny_patch4_window7_224',
        img_size=56,
        embed_dim=8,
        depths=(1, 1),
        num_heads=(1, 2),
    )
    file = write_checkpoint(tmp_path / 'a.pth', swin)
    with pytest.raises(UserError, match='img_size=112: .* takes images of .* px alone') as error:
        export(file, 'torchscript', img_size=112)
    assert '\n' not in str(error.value) and [path.name for path in tmp_path.iterdir()] == ['a.pth']


@pytest.mark.parametrize(
    'backbone',
    [
        {**VIT, 'arch': dict(embed_dims=120, num_layers=1, num_heads=2, feedforward_channels=123)},
        {**TIMM_VIT, 'global_pool': 'avg'},
    ],
    ids=['a width of which timm would lose a channel by rounding', 'norm behind the pooling'],
)
def test_a_rare_setting_is_exported_to_timm(tmp_path, monkeypatch, backbone):
    file = write_checkpoint(tmp_path / 'a.pth', backbone)
    model = run_card(export(file, 'timm'), monkeypatch)['model']
    images = torch.rand(1, 3, 32, 32)
    model.reset_classifier(0, '')  # all tokens
    with torch.no_grad():
        found = model(images)[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    assert_features(file, images, found)
