"""The config of docs/data.md reads a packed data set."""

import shutil

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmdclpp.datasets import UnlabelledImages
from mmdclpp.datasets.preparation import pack_images

from .pages import examples

pytest.importorskip('lmdb')


def test_a_config_trains_on_packed_images_by_another_type(repo, tiny_coco, tmp_path, monkeypatch):
    (example,) = (example for example in examples('data.md') if 'PackedImages' in example.code)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(repo / 'configs', 'configs')
    (tmp_path / 'mine.py').write_text(example.code)
    pack_images(UnlabelledImages(data_root=str(tiny_coco / 'images')), 'data/coco_train2017.lmdb')

    loader = Config.fromfile('mine.py', format_python_code=False).train_dataloader  # formatting would take seconds
    loader.update(batch_size=4, num_workers=0, persistent_workers=False)
    batch = next(iter(Runner.build_dataloader(loader, seed=0)))
    assert [view.shape for view in batch['inputs']] == [(4, 3, 224, 224)] * 2
    assert all(sample.img_path.startswith(('tall/', 'wide/')) for sample in batch['data_samples'])
