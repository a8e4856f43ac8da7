"""From a recipe to the config that trains it."""

import pytest
from mmengine.config import Config

from mmdclpp.apis._runner import shipped_config
from mmdclpp.apis.studies.budgets import BUDGETS
from mmdclpp.apis.studies.recipe import Recipe, config_text, moved, shortened
from mmdclpp.registry import MODELS
from mmdclpp.utils.paths import config_path

BASE = 'densecl_pp/vit-demo_scenes.py'


def _config(recipe, **options):
    return Config.fromstring(config_text(recipe, str(config_path(BASE)), options), '.py')


@pytest.mark.parametrize(
    ('recipe', 'negatives'),
    [
        (Recipe(), [dict(type='RandomNegatives')]),
        (Recipe(num_sets=1, threshold=0.5), [dict(type='RandomNegatives')]),
        (Recipe(num_sets=16), [dict(type='GuidedNegatives', num_sets=16)]),
        (
            Recipe(num_sets=256, threshold=0.5, cross_view=12, aggregate='cls', pair_feature='projection'),
            [
                dict(type='GuidedNegatives', num_sets=256, threshold=0.5),
                dict(type='CrossViewNegatives', num_negatives=12),
            ],
        ),
        (Recipe(dense_global=True, num_sets=16), [dict(type='GlobalNegatives')]),
    ],
)
def test_the_config_trains_what_the_recipe_says(recipe, negatives):
    cfg = _config(recipe)
    assert cfg.model.dense_head.negatives == negatives
    model = MODELS.build(cfg.model)
    assert model.neck.aggregate == recipe.aggregate
    assert model.dense_head.pair_feature == recipe.pair_feature
    assert len(model.dense_head.negatives) == len(negatives)
    # All else is the config's that it inherits from.
    cfg.model.neck.aggregate, cfg.model.dense_head.pair_feature = 'gap', 'backbone'
    cfg.model.dense_head.negatives = [dict(type='RandomNegatives')]
    assert cfg.to_dict() == shipped_config(BASE).to_dict()


def test_equal_trainings_have_one_name_and_others_have_another():
    simclr = Recipe(loss_lambda=0)
    assert simclr.slug == Recipe(loss_lambda=0, num_sets=256, dense_global=True, pair_feature='projection').slug
    assert Recipe(threshold=0.5).slug == Recipe().slug
    different = [
        simclr,
        Recipe(),
        Recipe(loss_lambda=0.25),
        Recipe(aggregate='cls'),
        Recipe(pair_feature='projection'),
        Recipe(dense_global=True),
        Recipe(num_sets=16),
        Recipe(num_sets=16, threshold=0.5),
        Recipe(cross_view=3),
        *(Recipe(loss_gamma=0.1, decoder=decoder) for decoder in BUDGETS['tiny'].decoders.values()),
    ]
    assert len({recipe.slug for recipe in different}) == len(different)


@pytest.mark.parametrize('decoder', BUDGETS['tiny'].decoders.values())
def test_reconstruction_has_the_decoder_and_the_weight(decoder):
    model = MODELS.build(_config(Recipe(loss_gamma=0.5, decoder=decoder)).model)
    assert model.loss_gamma == 0.5
    assert type(model.decoder).__name__ == decoder['type']


@pytest.mark.parametrize(('epochs', 'warm_up'), [(14, 1), (28, 2), (2, 1), (1, None)])
def test_a_schedule_keeps_its_proportions(epochs, warm_up):
    options = shortened(shipped_config(BASE), epochs)
    assert options['train_cfg'] == dict(max_epochs=epochs)
    *before, cosine = options['param_scheduler']
    assert (cosine['type'], cosine['end'], cosine['T_max']) == ('CosineAnnealingLR', epochs, epochs - cosine['begin'])
    assert [part['end'] for part in before] == ([cosine['begin']] if cosine['begin'] else [])
    assert cosine['begin'] == (warm_up or 0)


def test_every_data_set_of_a_config_moves_and_nothing_else():
    dataset = shipped_config('densecl_pp/vit-mini_photos.py').train_dataloader.dataset.to_dict()
    there = moved(dataset, '/elsewhere')
    assert [part['data_root'] for part in there['datasets']] == ['/elsewhere/coco_mini/', '/elsewhere/voc2007/']
    assert moved(there, 'unused') == there
    for part, original in zip(there['datasets'], dataset['datasets']):
        assert {**part, 'data_root': original['data_root']} == original
