import pytest
import torch
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample

from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.registry import MODELS

VIT = dict(
    type='VisionTransformer',
    arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=32),
    img_size=32,
    patch_size=8,
    out_type='raw',
    drop_rate=0.5,
    drop_path_rate=0.5,
)
RESNET = dict(type='ResNet', depth=18, base_channels=8, stem_channels=8)
TIMM = dict(type='TIMMBackbone', model_name='resnet10t', pretrained=False, features_only=True)
BACKBONES = pytest.mark.parametrize(
    'backbone, width', [(VIT, 24), (RESNET, 64), (TIMM, 512)], ids=['ViT', 'ResNet', 'timm']
)


def build_probe(backbone, width, **kwargs):
    torch.manual_seed(0)
    head = dict(type='MultiLabelLinearHead', num_classes=3, in_channels=width)
    probe = MODELS.build(dict(type='LinearProbe', backbone=backbone, head=head, **kwargs))
    probe.init_weights()
    return probe


def batch(*names):
    """One image of 32 px for each name, always the same for the same name."""
    images = [torch.rand(3, 32, 32, generator=torch.manual_seed(ord(name))) for name in names]
    targets = [torch.randint(0, 2, (3,), generator=torch.manual_seed(ord(name))) for name in names]
    data_samples = [
        DataSample(metainfo=dict(img_path=name)).set_gt_score(target) for name, target in zip(names, targets)
    ]
    return dict(inputs=torch.stack(images), data_samples=data_samples)


@BACKBONES
def test_training_changes_the_head_and_nothing_of_the_backbone(backbone, width):
    probe = build_probe(backbone, width)
    before = {key: value.clone() for key, value in probe.state_dict().items()}
    probe.train()
    optim_wrapper = OptimWrapper(torch.optim.SGD(probe.parameters(), lr=1.0, weight_decay=0.1))
    for _ in range(2):
        probe.train_step(batch(*'abcd'), optim_wrapper)
    changed = {key for key, value in probe.state_dict().items() if not torch.equal(value, before[key])}
    assert {key.split('.')[0] for key in changed} == {'head'}
    assert {'head.fc.weight', 'head.fc.bias', 'head.norm.running_mean'} <= changed


@BACKBONES
def test_the_backbone_stays_in_eval_mode_without_gradient(backbone, width):
    probe = build_probe(backbone, width).train()
    assert probe.head.training
    assert not any(module.training for module in probe.backbone.modules())
    assert not any(parameter.requires_grad for parameter in probe.backbone.parameters())
    assert not probe.extract_feat(batch(*'ab')['inputs'])[0].requires_grad


@pytest.mark.parametrize('aggregate', ['cls', 'gap'])
def test_the_feature_is_the_aggregate_that_pretraining_uses(aggregate):
    probe = build_probe(VIT, 24, aggregate=aggregate)
    images = batch(*'ab')['inputs']
    (feature,) = probe.extract_feat(images)
    torch.testing.assert_close(feature, extract_features(probe.backbone, images).aggregate(aggregate))


def test_an_unknown_aggregate_and_a_class_token_of_a_cnn_are_refused():
    with pytest.raises(UserError, match="aggregate='max' is unknown"):
        build_probe(VIT, 24, aggregate='max')
    with pytest.raises(UserError, match="aggregate='cls' needs a class token"):
        build_probe(RESNET, 64, aggregate='cls').extract_feat(batch(*'ab')['inputs'])


@pytest.mark.parametrize('mode', ['loss', 'predict'])
def test_cached_features_give_the_same_and_run_the_backbone_once_an_image(mode):
    results, images_seen = {}, 0

    def count(module, inputs):
        nonlocal images_seen
        images_seen += len(inputs[0])

    for cache_features in (False, True):
        probe = build_probe(VIT, 24, cache_features=cache_features)
        probe.train(mode == 'loss')
        images_seen = 0
        probe.backbone.register_forward_pre_hook(count)
        outputs = [probe(**batch(*names), mode=mode) for names in ('abcd', 'dbea', 'ce')]
        if mode == 'predict':
            outputs = [torch.stack([sample.pred_score for sample in output]) for output in outputs]
        results[cache_features] = outputs
    torch.testing.assert_close(results[True], results[False])
    assert images_seen == len('abcde')


def test_the_cache_keeps_training_and_evaluation_apart():
    """Their pipelines may differ, so an image's feature of the one is not the other's."""
    probe = build_probe(VIT, 24, cache_features=True).train()
    probe(**batch(*'ab'), mode='loss')
    probe.eval()
    other = batch(*'cd')
    for sample, name in zip(other['data_samples'], 'ab'):
        sample.set_metainfo(dict(img_path=name))
    expected = build_probe(VIT, 24).eval()
    expected.load_state_dict(probe.state_dict())
    result, reference = (model(**other, mode='predict')[0].pred_score for model in (probe, expected))
    torch.testing.assert_close(result, reference)
