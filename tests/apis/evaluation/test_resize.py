import pytest
from mmengine.config import Config

from mmdclpp.apis.evaluation.resize import set_crop_size, set_image_size
from mmdclpp.utils.paths import config_path


def load(name):
    return Config.fromfile(config_path(name), format_python_code=False)


def sizes(part, keys=('scale', 'crop_size', 'size', 'stride', 'img_size')):
    """Every size that a config names, by its path."""
    if isinstance(part, dict):
        found = {key: part[key] for key in keys if key in part}
        part = {key: value for key, value in part.items() if key not in found}
        nested = [sizes(value, keys) for value in part.values()]
    elif isinstance(part, (list, tuple)):
        found, nested = {}, [sizes(value, keys) for value in part]
    else:
        return []
    return [value for value in found.values()] + [value for values in nested for value in values]


def test_a_classification_pipeline_gives_images_of_the_size_asked_for():
    pipeline = load('benchmarks/linear/vit-s16_coco.py').train_dataloader.dataset.pipeline
    before = [dict(transform) for transform in pipeline]
    resized = set_image_size(pipeline, 64)
    assert [transform.get('scale') for transform in resized] == [None, 64, None, None]
    assert pipeline == before


@pytest.mark.parametrize('name', ['vit-s16_fcn_voc12aug', 'r50_upernet_cocoobjects'])
def test_every_size_of_a_segmentation_config_shrinks_alike(name):
    published, half = load(f'benchmarks/segmentation/{name}.py'), load(f'benchmarks/segmentation/{name}.py')
    set_crop_size(half, 256)
    for key in ('model', 'train_dataloader', 'val_dataloader'):
        before, after = sizes(published[key]), sizes(half[key])
        assert before and len(before) == len(after)
        for old, new in zip(before, after):
            old, new = ((value,) if isinstance(value, int) else value for value in (old, new))
            assert all(2 * side == pytest.approx(whole, abs=1) for side, whole in zip(new, old))
