"""Several processes: one looks at the images, and all train on what it found."""

import json

import pytest
from mmengine.config import Config


@pytest.mark.slow
def test_one_process_surveys_for_all(run, repo, tiny_coco, tmp_path):
    config = repo / 'configs' / 'densecl_pp' / 'vit-demo_folder.py'
    (tmp_path / 'list.txt').write_text(''.join(f'{path}\n' for path in sorted((tiny_coco / 'images').rglob('*.jpg'))))
    (tmp_path / 'broken.jpg').write_bytes(b'\xff\xd8 \xff\xda')
    with (tmp_path / 'list.txt').open('a') as file:
        file.write('broken.jpg\n')
    arguments = ('--data', 'list.txt', '--work-dir', 'run', '--cfg-options', 'train_cfg.max_epochs=1')
    done = run('tools/dist_train.sh', config, 2, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('looking at images') == 1
    assert done.stdout.count('Settings for 8 images and 2 processes with ') == 1
    settings = json.loads((tmp_path / 'run' / 'settings.json').read_text())['settings']
    assert settings['train_dataloader.batch_size'] == 4
    written = Config.fromfile(tmp_path / 'run' / 'vit-demo_folder.py')
    assert written.train_dataloader.dataset.exclude_file == ['run/left_out.txt']


@pytest.mark.slow
def test_what_the_first_process_finds_wrong_is_told_once(run, repo, tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'a.jpg').touch()
    done = run('tools/dist_train.sh', repo / 'configs' / 'densecl_pp' / 'vit-demo_folder.py', 2, '--data', 'images')
    assert done.returncode == 2
    assert done.stderr.count('no image of images/ can be read, of the first the reason is: empty') == 1
