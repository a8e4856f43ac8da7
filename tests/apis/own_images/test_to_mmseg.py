"""The guide, from a folder to a segmentor: its commands and its config, on small data."""

import re

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture
def segmentor(repo, tmp_path):
    """The guide's config and the data that it expects."""
    text = (repo / 'docs' / 'own-images.md').read_text()
    config = re.search(r'test_to_mmseg.py runs this -->\n```python\n(.*?)```', text, re.DOTALL)[1]
    for large, small in (('(512, 512)', '(48, 48)'), ('(2048, 512)', '(64, 48)'), ('(341, 341)', '(32, 32)')):
        assert large in config
        config = config.replace(large, small)
    (tmp_path / 'segmentor.py').write_text(config)
    rng = np.random.default_rng(0)
    for split, number in (('train', 6), ('val', 2)):
        for index in range(number):
            mask = np.kron(rng.integers(0, 3, (3, 4), dtype=np.uint8), np.ones((16, 16), np.uint8))
            image = np.stack([mask * 100] * 3, axis=-1) + rng.integers(0, 50, (48, 64, 3), dtype=np.uint8)
            for kind, pixels, suffix in (('images', image, 'jpg'), ('masks', mask, 'png')):
                file = tmp_path / 'data' / 'mine' / kind / split / f'{index}.{suffix}'
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(file)
    return tmp_path / 'segmentor.py'


@pytest.mark.slow
@pytest.mark.ci
def test_a_folder_becomes_a_segmentor(run, repo, segmentor, tmp_path):
    def succeed(*command):
        done = run(*command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    config = repo / 'configs' / 'densecl_pp' / 'vit-demo_folder.py'
    out = succeed('tools/train.py', config, '--data', 'data/mine/images', '--cfg-options', 'train_cfg.max_epochs=1')
    assert 'data/mine/images/: 8 images' in out
    pretrained = tmp_path / 'work_dirs' / 'densecl_pp' / 'vit-demo_folder' / 'epoch_1.pth'
    succeed('tools/export.py', pretrained.relative_to(tmp_path), '--to', 'mmseg', '--out', 'exported')
    small = [
        *('model.decode_head.in_channels=128', 'model.decode_head.channels=16', 'train_dataloader.batch_size=2'),
        *('train_cfg.max_iters=3', 'train_cfg.val_interval=3', 'default_hooks.checkpoint.interval=3'),
        'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=0',  # so that what it began with remains
    ]
    out = succeed('tools/train.py', segmentor, '--cfg-options', *small)
    assert re.search(r'mIoU: \d', out)

    expected = torch.load(pretrained, weights_only=False)['state_dict']
    weights = torch.load(tmp_path / 'work_dirs' / tmp_path.name / 'segmentor' / 'iter_3.pth', weights_only=False)
    backbone = {key: value for key, value in weights['state_dict'].items() if key.startswith('backbone.')}
    assert backbone.keys() == {key for key in expected if key.startswith('backbone.')}
    assert all(torch.equal(value, expected[key]) for key, value in backbone.items())
