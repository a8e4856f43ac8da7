import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

from mmdclpp.core import Draws, dense_loss, global_loss, reconstruction_loss
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.registry import MODELS
from tests.core.cases import one_line

from .test_features import BACKBONES, RESNET, VIT

PROJECTOR = dict(type='MLPProjector', hidden_channels=8, out_channels=5)
STAR = [
    dict(type='GuidedNegatives', num_sets=4, threshold=0.1),
    dict(type='CrossViewNegatives', num_negatives=3),
]


@pytest.fixture(autouse=True)
def fresh_hub(request):
    """A message hub of each test's own, without the iteration of an earlier runner."""
    return MessageHub.get_instance(request.node.nodeid)


def model_of(backbone: dict = VIT, in_channels: int = 24, dense_head: dict = None, neck: dict = None, **kwargs):
    torch.manual_seed(0)
    neck = dict(
        type='DenseCLPlusPlusNeck',
        in_channels=in_channels,
        **{'global_projector': PROJECTOR, 'dense_projector': PROJECTOR, **(neck or {})},
    )
    dense_head = dict(type='DenseInfoNCEHead', **(dense_head or {}))
    return MODELS.build(dict(type='DenseCLPlusPlus', backbone=backbone, neck=neck, dense_head=dense_head, **kwargs))


def two_views(size=(32, 32), num_images: int = 3):
    return list(torch.randn(2 * num_images, 3, *size, generator=torch.Generator().manual_seed(1)).chunk(2))


@pytest.mark.parametrize('loss_lambda', [0, 0.25, 0.5, 1])
def test_the_loss_is_the_weighted_sum_of_the_two(loss_lambda):
    model, inputs = model_of(dense_head=dict(negatives=STAR), loss_lambda=loss_lambda), two_views()
    log = model(inputs, mode='loss')
    out = model.neck(extract_features(model.backbone, torch.cat(inputs)))
    total, _ = model.parse_losses(log)
    expected = 0.0
    if loss_lambda < 1:
        expected += (1 - loss_lambda) * global_loss(out.global_projections, 0.1).loss
    if loss_lambda > 0:
        samplers = model.dense_head.negatives
        expected += loss_lambda * dense_loss(out.dense_projections, out.positions, samplers, 0.2, Draws(0, 0)).loss
    torch.testing.assert_close(total, expected)


def test_lambda_zero_is_simclr():
    model, inputs = model_of(loss_lambda=0), two_views()
    log = model(inputs, mode='loss')
    features = extract_features(model.backbone, torch.cat(inputs)).positions.mean(dim=1)
    torch.testing.assert_close(log['loss_global'], global_loss(model.neck.global_projector(features), 0.1).loss)


@pytest.mark.parametrize(('loss_lambda', 'part'), [(0, 'dense'), (1, 'global')])
def test_a_loss_without_weight_is_neither_built_nor_logged(loss_lambda, part):
    model = model_of(loss_lambda=loss_lambda)
    assert not [name for name in model(two_views(), mode='loss') if part in name]
    assert not [name for name, _ in model.named_parameters() if part in name]


def test_each_part_is_logged_with_its_similarities_and_chance_level():
    log = model_of(dense_head=dict(negatives=STAR), loss_lambda=0.25)(two_views(), mode='loss')
    statistics = ('nce', 'chance', 'pos_sim', 'neg_sim', 'negatives')
    parts = [f'{part}_{name}' for part in ('global', 'dense') for name in statistics]
    assert list(log) == ['loss_global', 'loss_dense', *parts]
    assert not any(log[part].requires_grad for part in parts)
    torch.testing.assert_close(log['loss_global'], 0.75 * log['global_nce'])
    torch.testing.assert_close(log['loss_dense'], 0.25 * log['dense_nce'])
    assert (log['global_negatives'], log['dense_negatives']) == (4, 4 + 3)  # V - 2, V - 2 + N
    torch.testing.assert_close(log['dense_chance'], torch.tensor(8.0).log())


DECODERS = {
    'conv': dict(type='ConvDecoder', widths=[4, 4]),
    'transformer': dict(type='TransformerDecoder', embed_dims=8, depth=1, num_heads=2, patch_size=8),
}


@pytest.mark.parametrize('loss_lambda', [0, 0.5, 1])
@pytest.mark.parametrize('decoder', DECODERS.values(), ids=DECODERS)
def test_reconstruction_adds_its_weighted_error_and_changes_nothing_else(decoder, loss_lambda):
    inputs, options = two_views(), dict(loss_lambda=loss_lambda)
    model, plain = model_of(**options, loss_gamma=0.3, decoder=decoder), model_of(**options)
    log, other = model(inputs, mode='loss'), plain(inputs, mode='loss')
    images = torch.cat(inputs)
    error = reconstruction_loss(model.decoder(extract_features(model.backbone, images), (32, 32)), images)
    torch.testing.assert_close(log.pop('reconstruction_error'), error.detach())
    torch.testing.assert_close(log.pop('loss_reconstruction'), 0.3 * error)
    torch.testing.assert_close(log, other, rtol=0, atol=0)  # with the same initial weights, too


def test_without_weight_no_decoder_is_built():
    model = model_of(decoder=DECODERS['conv'], loss_gamma=0)
    assert model.state_dict().keys() == model_of().state_dict().keys()
    assert not [name for name in model(two_views(), mode='loss') if 'reconstruction' in name]


def test_a_weight_alone_builds_a_decoder_for_the_channels_of_the_neck():
    decoder = model_of(loss_gamma=1).decoder
    assert (type(decoder).__name__, decoder.in_channels) == ('ConvDecoder', 24)


@pytest.mark.parametrize('backbone', [(VIT, 24, (32, 32)), (RESNET, 32, (64, 96))], ids=['ViT', 'ResNet'])
@pytest.mark.parametrize('decoder', DECODERS.values(), ids=DECODERS)
def test_reconstruction_reaches_the_backbone_through_gamma_alone(decoder, backbone):
    config, channels, size = backbone

    def gradients(gamma):
        model = model_of(config, channels, loss_gamma=gamma, decoder=decoder).double()
        model.parse_losses(model([view.double() for view in two_views(size)], mode='loss'))[0].backward()
        return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}

    none, some, more = map(gradients, (0, 0.25, 2))
    reached = {name: some[name] - gradient for name, gradient in none.items()}
    torch.testing.assert_close({name: more[name] - none[name] for name in none}, {k: 8 * g for k, g in reached.items()})
    assert {name.split('.')[0] for name, gradient in reached.items() if gradient.abs().max() > 1e-9} == {'backbone'}
    of_decoder = some.keys() - none.keys()
    assert of_decoder and all(name.startswith('decoder.') for name in of_decoder)
    torch.testing.assert_close({name: more[name] for name in of_decoder}, {name: 8 * some[name] for name in of_decoder})


@pytest.mark.parametrize('loss_lambda', [0, 1])
@pytest.mark.parametrize(
    ('name', 'aggregate'),
    [(name, aggregate) for name, (*_, has_cls) in BACKBONES.items() for aggregate in ('gap', 'cls')[: 1 + has_cls]],
)
def test_no_parameter_is_without_gradient(name, aggregate, loss_lambda):
    config, size, channels, *_ = BACKBONES[name]
    model = model_of(config, channels, neck=dict(aggregate=aggregate), loss_lambda=loss_lambda)
    total, _ = model.parse_losses(model(two_views(size), mode='loss'))
    total.backward()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]


def test_a_pooled_grid_has_fewer_anchors_and_its_own_matches():
    model, inputs = model_of(neck=dict(num_grid=2), dense_head=dict(negatives=STAR), loss_lambda=1), two_views()
    out = model.neck(extract_features(model.backbone, torch.cat(inputs)))
    assert out.dense_projections.shape[1] == out.positions.shape[1] == 4
    expected = dense_loss(out.dense_projections, out.positions, model.dense_head.negatives, 0.2, Draws(0, 0))
    torch.testing.assert_close(model(inputs, mode='loss')['loss_dense'], expected.loss)


def test_draws_advance_from_call_to_call_outside_a_runner():
    model = model_of()
    assert [model._draws() for _ in range(3)] == [Draws(0, 0), Draws(0, 1), Draws(0, 2)]


def test_in_a_runner_draws_follow_its_seed_and_iteration(tmp_path, monkeypatch):
    model, used = model_of(), []
    loss = model.dense_head.loss
    monkeypatch.setattr(model.dense_head, 'loss', lambda h, f, draws: used.append(draws) or loss(h, f, draws))

    class CountHook(Hook):
        def before_train(self, runner):
            runner.train_loop._iter = 5  # as after resuming

    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            dataset=[dict(inputs=[view[0] for view in two_views()], data_samples=DataSample())] * 6,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
            batch_size=2,
        ),
        train_cfg=dict(by_epoch=False, max_iters=8),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=[CountHook()],
        randomness=dict(seed=3),
        default_scope='mmdclpp',
        experiment_name='draws_in_a_runner',
    )
    runner.train()
    assert used == [Draws(3, 5), Draws(3, 6), Draws(3, 7)]


@pytest.mark.parametrize(
    ('build', 'words'),
    [
        (lambda: model_of(loss_lambda=-0.1), ['loss_lambda=-0.1']),
        (lambda: model_of(loss_lambda=1.5), ['loss_lambda=1.5']),
        (lambda: model_of(loss_lambda=float('nan')), ['loss_lambda=nan']),
        (lambda: model_of(loss_lambda='0.5'), ["loss_lambda='0.5'"]),
        (lambda: model_of(loss_gamma=-0.1), ['loss_gamma=-0.1']),
        (lambda: model_of(loss_gamma=float('nan')), ['loss_gamma=nan']),
        (lambda: model_of(loss_gamma=float('inf')), ['loss_gamma=inf']),
        (lambda: model_of(loss_gamma='1'), ["loss_gamma='1'"]),
        (
            lambda: model_of(loss_gamma=1, decoder=dict(DECODERS['conv'], in_channels=8))(two_views(), mode='loss'),
            ['decoder', 'in_channels=8', '24'],
        ),
        (lambda: model_of(neck=dict(aggregate='mean')), ["aggregate='mean'"]),
        (lambda: model_of(in_channels=8)(two_views(), mode='loss'), ['in_channels=8', '24']),
        (lambda: model_of()(two_views()[0], mode='loss'), ['two views', 'num_views=2']),
        (lambda: model_of()(two_views() * 2, mode='loss'), ['two views', 'num_views=2']),
        (lambda: model_of()(two_views(num_images=1), mode='loss'), ['batch_size']),
        (
            lambda: model_of(RESNET, 32, neck=dict(aggregate='cls'))(two_views((64, 64)), mode='loss'),
            ["aggregate='cls'", "aggregate='gap'"],
        ),
        (
            lambda: model_of(dense_head=dict(negatives=[dict(type='CrossViewNegatives')]))(two_views(), mode='loss'),
            ['num_negatives=64', '15 or fewer'],
        ),
    ],
    ids=lambda case: ' '.join(case) if isinstance(case, list) else '',
)
def test_a_wrong_value_is_named(build, words):
    with pytest.raises(UserError, match=one_line(*words)):
        build()
