"""The picture of a config's views shows what the model gets."""

import numpy as np
import pytest
from matplotlib.image import imread

from mmdclpp.apis import browse, browsing
from mmdclpp.apis._runner import shipped_config
from mmdclpp.errors import UserError


@pytest.fixture
def config(tiny_coco):
    cfg = shipped_config('densecl_pp/vit-demo_scenes.py')
    cfg.train_dataloader.dataset.data_root = str(tiny_coco / 'images')
    return cfg


@pytest.fixture
def rows(monkeypatch):
    """What is drawn, call by call."""
    drawn, draw = [], browsing.view_rows
    monkeypatch.setattr(browsing, 'view_rows', lambda rows, *args: drawn.append(rows) or draw(rows, *args))
    return drawn


def test_a_picture_shows_images_their_crops_and_views_epoch_by_epoch(config, rows, tmp_path):
    out = browse(config, tmp_path / 'views.png', number=2, epochs=3)
    assert imread(out).shape[1] > imread(out).shape[0]  # two rows of seven
    (drawn,) = rows
    assert [len(row.views) for row in drawn] == [6, 6] and [len(row.boxes) for row in drawn] == [2, 2]
    views = [view.tobytes() for row in drawn for view in row.views]
    assert len(set(views)) == len(views)


@pytest.mark.parametrize('backend', ['batched', 'mmpretrain'])
def test_a_seed_decides_the_views(config, rows, tmp_path, backend):
    config.train_dataloader.dataset.pipeline[0].backend = backend
    for seed in (0, 0, 1):
        browse(config, tmp_path / 'views.png', number=1, epochs=1, seed=seed)
    first, again, other = ([view for view in drawn[0].views] for drawn in rows)
    np.testing.assert_array_equal(first, again)
    assert (np.array(first) != other).any()


def test_the_views_are_jittered_where_the_recipe_says_so(config, rows, tmp_path):
    grey = dict(type='RandomGrayscale', prob=1.0, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989))
    crop = dict(type='RandomResizedCrop', scale=32)
    for transforms in ([crop], [crop, grey]):
        config.train_dataloader.dataset.pipeline[0].transforms = [transforms]
        browse(config, tmp_path / 'views.png', number=1, epochs=1)
    colourful, colourless = (np.array(drawn[0].views).std(axis=-1).max() for drawn in rows)
    assert colourful > 1 > colourless


def test_a_config_without_views_and_numbers_below_one_are_refused(classifier_config, config, tmp_path):
    with pytest.raises(UserError, match='not views of images'):
        browse(classifier_config, tmp_path / 'views.png')
    with pytest.raises(UserError, match='epochs=0 must be 1 or more'):
        browse(config, tmp_path / 'views.png', epochs=0)
    assert not list(tmp_path.glob('*.png'))
