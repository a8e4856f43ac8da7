"""How a user's images are named, and take the place of a config's."""

import json

import pytest
from mmengine.config import Config
from mmengine.hub import get_config
from PIL import Image

from mmdclpp.apis.own_images.images import dataset_of, list_images, other_files, require_pretraining, set_images
from mmdclpp.errors import UserError
from mmdclpp.utils.paths import config_path


@pytest.fixture
def root(tmp_path):
    for name in ('field/north/1.tif', 'field/2.jp2', 'field/3.GIF', 'field/deep/er/4.webp', 'else/5.png'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (5, 4)).save(tmp_path / name)
    (tmp_path / 'field' / 'notes.txt').touch()
    (tmp_path / 'field' / 'north' / 'scan.DCM').touch()
    return tmp_path


def names(arguments, root):
    images = list_images(arguments)
    paths = [images[index]['img_path'] for index in range(len(images))]
    return [path.replace(f'{root}/', '') for path in paths]


def test_a_folder_stands_for_all_images_below_it(root):
    arguments = dataset_of(root / 'field')
    assert names(arguments, root) == ['field/2.jp2', 'field/3.GIF', 'field/deep/er/4.webp', 'field/north/1.tif']
    assert other_files(arguments) == {'.txt': 1, '.dcm': 1}


def test_a_list_names_paths_relative_to_its_folder_or_absolute(root):
    (root / 'list.txt').write_text(f'field/2.jp2\n{root}/else/5.png\n')
    arguments = dataset_of(root / 'list.txt')
    assert names(arguments, root) == ['field/2.jp2', 'else/5.png']
    assert other_files(arguments) == {}


@pytest.mark.parametrize(
    'place', ['field/a.json', 'field/north/a.json', 'a/instances_field.json', 'field/annotations/instances_x.json']
)
def test_coco_json_finds_its_images_in_the_usual_layouts(root, place):
    (root / place).parent.mkdir(exist_ok=True)
    (root / place).write_text(json.dumps(dict(images=[dict(file_name='3.GIF')])))
    (path,) = names(dataset_of(root / place), root)
    assert (root / path).samefile(root / 'field' / '3.GIF')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'data: .*x.json does not exist: give a folder of images, a list of paths, or COCO-style JSON'),
        (b'{"images": [{"file_name": "9.png"}]}', 'lists 9.png, which is not in its folder, images, .*: move it'),
        (b'{}', "has no list 'images'"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(root, content, message):
    if content is not None:
        (root / 'x.json').write_bytes(content)
    with pytest.raises(UserError, match=message):
        dataset_of(root / 'x.json')


def test_an_image_is_no_list(root):
    with pytest.raises(UserError, match='5.png is no text: give a folder'):
        dataset_of(root / 'else' / '5.png')


def test_a_packed_data_set_is_named_in_the_config_instead(root):
    (root / 'x.lmdb').touch()
    with pytest.raises(UserError, match=f'train_dataloader.dataset.data_root={root} .*dataset.ann_file=x.lmdb$'):
        dataset_of(root / 'x.lmdb')


def test_a_config_that_needs_labels_is_refused(classifier_config):
    with pytest.raises(UserError, match='trains ImageClassifier, which needs labels'):
        require_pretraining(Config.fromfile(classifier_config), 'data')


@pytest.mark.parametrize(
    'name', ['densecl_pp/vit-mini_photos.py', 'densecl_pp/vit-s16_folder.py', 'densecl/r50_queue_coco.py']
)
def test_every_pretraining_config_keeps_its_views(name, root):
    cfg = Config.fromfile(config_path(name))
    dataset = cfg.train_dataloader.dataset
    before = dataset.get('datasets', [dataset])[0].pipeline
    require_pretraining(cfg, 'data')
    set_images(cfg, dataset_of(root / 'field'))
    dataset = cfg.train_dataloader.dataset
    assert dataset.pipeline == before and dataset.skip_broken
    assert cfg.default_hooks.broken_images == dict(type='BrokenImagesHook', max_share=0.01)


def test_mmpretrains_own_pretraining_configs_take_the_images_too(root):
    cfg = get_config('mmpretrain::simclr/simclr_resnet50_8xb32-coslr-200e_in1k.py')
    require_pretraining(cfg, 'data')
    set_images(cfg, dataset_of(root / 'field'))
    kinds = [part.type for part in cfg.train_dataloader.dataset.pipeline]
    assert kinds == ['mmdclpp.LoadImage', 'MultiView', 'PackInputs']
