"""The examples of docs/data-path.md."""

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmdclpp.apis._runner import shipped_config
from mmdclpp.registry import MODELS

from .pages import examples


def example_with(words):
    (example,) = (example for example in examples('data-path.md') if words in example.code)
    return example.code


def test_the_pipeline_is_that_of_the_shipped_config():
    shown = {}
    exec(example_with('pipeline = ['), shown)
    shipped = shipped_config('_base_/datasets/coco_two_views.py')
    crop, *others = shown['view_pipeline']
    assert dict(crop, type='RandomResizedCropWithBox', backend='pillow') == shipped.view_pipeline[0]
    assert others == shipped.view_pipeline[1:]
    views, *packing = shown['pipeline']
    shipped_views, *shipped_packing = shipped.train_dataloader.dataset.pipeline
    assert dict(views, transforms=None) == dict(shipped_views, transforms=None)
    assert packing == shipped_packing


def test_a_config_of_mmpretrains_gets_another_recipe_for_each_view(tiny_coco, tmp_path):
    (tmp_path / 'byol.py').write_text(example_with('byol').replace('data/imagenet/train/', str(tiny_coco / 'images')))
    cfg = Config.fromfile(tmp_path / 'byol.py', format_python_code=False)
    cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    prepared = MODELS.build(cfg.model.data_preprocessor)(batch)
    assert [view.shape for view in prepared['inputs']] == [(4, 3, 224, 224)] * 2
    sigmas = torch.tensor([sample.view_photometric[:, 6] for sample in batch['data_samples']])
    assert (sigmas[:, 0] > 0).all()  # the first recipe always blurs


def test_a_loop_of_ones_own_changes_images_in_place():
    result = {}
    exec(example_with('change_photometry'), result)
    images = result['images']
    assert images.shape == (2, 3, 64, 64) and images.min() >= 0 and images.max() <= 1
    assert (images[1] == images[1, :1]).all() and not (images[0] == images[0, :1]).all()  # the second is grey
