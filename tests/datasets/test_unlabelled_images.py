import json
import os

import pytest
import torch
from PIL import Image

from mmdclpp.datasets.load_image import BrokenImageError
from mmdclpp.errors import UserError
from mmdclpp.registry import DATASETS


@pytest.fixture
def root(tmp_path):
    """Four images in nested folders, one behind a link, among files that are none."""
    for name in ('root/b/2.JPG', 'root/b/1.png', 'root/a.jpeg', 'elsewhere/c.webp'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (5, 4)).save(tmp_path / name)
    (tmp_path / 'root' / 'link').symlink_to(tmp_path / 'elsewhere')
    (tmp_path / 'root' / 'b' / 'notes.txt').write_text('b/1.png\n\nb/2.JPG\n')
    return tmp_path / 'root'


def build(**kwargs):
    return DATASETS.build(dict(type='UnlabelledImages', **kwargs))


def names(dataset, root):
    return [dataset.get_data_info(i)['img_path'].replace(f'{root}/', '') for i in range(len(dataset))]


def test_a_folder_gives_all_its_images_sorted_by_path(root):
    assert names(build(data_root=str(root)), root) == ['a.jpeg', 'b/1.png', 'b/2.JPG', 'link/c.webp']


def test_a_prefix_narrows_the_folder(root):
    assert names(build(data_root=str(root), data_prefix='b'), root) == ['b/1.png', 'b/2.JPG']


def test_a_text_file_lists_images(root):
    assert names(build(data_root=str(root), ann_file='b/notes.txt'), root) == ['b/1.png', 'b/2.JPG']


def test_a_coco_file_lists_images_whatever_else_it_holds(root):
    (root / 'coco.json').write_text(json.dumps(dict(images=[dict(file_name='2.JPG'), dict(file_name='1.png')])))
    dataset = build(data_root=str(root), ann_file='coco.json', data_prefix=dict(img_path='b'))
    assert names(dataset, root) == ['b/2.JPG', 'b/1.png']


def test_several_are_joined_and_two_views_are_packed(root):
    pipeline = [
        dict(type='LoadImage'),
        dict(type='MultiView', num_views=2, transforms=[[dict(type='RandomResizedCrop', scale=8)]]),
        dict(type='PackInputs'),
    ]
    parts = [
        dict(type='UnlabelledImages', data_root=str(root), data_prefix=p, pipeline=pipeline) for p in ('b', 'link')
    ]
    joined = DATASETS.build(dict(type='ConcatDataset', datasets=parts))
    assert len(joined) == 3
    assert [view.shape for view in joined[2]['inputs']] == [(3, 8, 8)] * 2


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(data_prefix='none'), "image folder '.*/none' does not exist: check data_root and data_prefix"),
        (dict(data_prefix='empty'), 'no image .*below .*/empty: check the folder given by --data, or by data_root'),
        (dict(ann_file='none.txt'), 'none.txt does not exist: check data_root and ann_file'),
        (dict(ann_file='none.json'), 'none.json does not exist: check data_root and ann_file'),
        (dict(ann_file='empty/list.txt'), 'list.txt lists no image: write one path a line'),
        (dict(ann_file='b/notes.txt', data_prefix='b'), 'b/b/1.png, does not exist: check data_root and data_prefix'),
    ],
)
def test_missing_data_is_named_with_the_remedy(root, arguments, message):
    (root / 'empty').mkdir()
    (root / 'empty' / 'list.txt').write_text('\n')
    with pytest.raises(UserError, match=message):
        build(data_root=str(root), **arguments)


def test_excluded_names_are_left_out_whatever_their_folder_and_extension(root):
    assert names(build(data_root=str(root), exclude=['1', 'c']), root) == ['a.jpeg', 'b/2.JPG']


def test_an_excluded_name_that_no_image_has_is_refused(root):
    with pytest.raises(UserError, match="exclude: no image of .* is named 'x9'"):
        build(data_root=str(root), exclude=['1', 'x9'])


def test_files_of_a_list_are_left_out_and_remarks_ignored(root, tmp_path):
    (tmp_path / 'left_out.txt').write_text('b/1.png\tcut off\nlink/c.webp\n')
    assert names(build(data_root=str(root), exclude_file=str(tmp_path / 'left_out.txt')), root) == ['a.jpeg', 'b/2.JPG']
    (tmp_path / 'more.txt').write_text('a.jpeg\n')
    files = [str(tmp_path / 'left_out.txt'), str(tmp_path / 'more.txt')]
    assert names(build(data_root=str(root), exclude_file=files), root) == ['b/2.JPG']
    with pytest.raises(UserError, match='exclude_file: .*none.txt does not exist'):
        build(data_root=str(root), exclude_file='none.txt')


@pytest.mark.parametrize('links', [('here',), ('here', 'there')], ids=len)
def test_links_to_the_folder_itself_give_no_image_twice(root, links):
    for link in links:
        (root / link).symlink_to('.')
    assert names(build(data_root=str(root)), root) == ['a.jpeg', 'b/1.png', 'b/2.JPG', 'link/c.webp']


@pytest.mark.parametrize('content', [b'\xef\xbb\xbfb/1.png\r\nb/\xe9.png\r\n', b'b/1.png\nb/\xe9.png'])
def test_a_list_may_begin_with_a_byte_order_mark_and_hold_any_bytes(root, content):
    (root / 'list.txt').write_bytes(content)
    dataset = build(data_root=str(root), ann_file='list.txt')
    assert [os.fsencode(name) for name in names(dataset, root)] == [b'b/1.png', b'b/\xe9.png']


KEYS = ('img_path', 'sample_idx', 'ori_shape')
LOADED = [dict(type='LoadImage'), dict(type='PackInputs', meta_keys=KEYS)]


@pytest.fixture
def damaged(root):
    """The same four images, of which the third and the last are broken."""
    (root / 'b' / '2.JPG').write_bytes(b'')
    (root / 'link' / 'c.webp').write_bytes(b'<html>')
    return root


def taken(sample, root):
    """Whose place an image took, its name, and what had failed."""
    told = sample['data_samples']
    broken = [(path.replace(f'{root}/', ''), reason) for path, reason in told.get('broken_images', [])]
    return told.sample_idx, told.img_path.replace(f'{root}/', ''), broken


EMPTY, PAGE = ('b/2.JPG', 'empty, 0 bytes'), ('link/c.webp', 'no image that OpenCV or Pillow reads, 6 bytes')


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize('lazy_init', [False, True])
def test_the_next_image_that_can_be_loaded_takes_the_place_of_a_broken_one(damaged, num_workers, lazy_init):
    dataset = build(data_root=str(damaged), skip_broken=True, pipeline=LOADED, lazy_init=lazy_init)
    dataset.full_init()
    samples = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=num_workers, collate_fn=dict)
    assert [taken(sample, damaged) for sample in samples] == [
        (0, 'a.jpeg', []),
        (1, 'b/1.png', []),
        (2, 'a.jpeg', [EMPTY, PAGE]),  # after the last comes the first
        (3, 'a.jpeg', [PAGE]),
    ]
    assert taken(dataset[-1], damaged) == (3, 'a.jpeg', [PAGE])


def test_each_of_several_joined_data_sets_has_its_own_next_image(damaged):
    parts = [
        dict(type='UnlabelledImages', data_root=str(damaged), exclude=names, skip_broken=True, pipeline=LOADED)
        for names in (['1', 'c'], ['a', '2'])
    ]
    joined = DATASETS.build(dict(type='ConcatDataset', datasets=parts))
    assert [taken(joined[index], damaged)[1:] for index in range(4)] == [
        ('a.jpeg', []),
        ('a.jpeg', [EMPTY]),
        ('b/1.png', []),
        ('b/1.png', [PAGE]),
    ]


@pytest.mark.parametrize('options', [dict(), dict(skip_broken=True, test_mode=True)], ids=['not asked for', 'testing'])
def test_a_broken_image_ends_the_run_unless_in_training_it_may_be_skipped(damaged, options):
    with pytest.raises(BrokenImageError, match='cannot decode image .*2.JPG'):
        build(data_root=str(damaged), pipeline=LOADED, **options)[2]


def test_a_pipeline_without_data_samples_skips_too(damaged):
    assert build(data_root=str(damaged), skip_broken=True, pipeline=LOADED[:1])[2]['img'].shape == (4, 5, 3)


@pytest.mark.parametrize(('number', 'named'), [(3, 3), (120, 100)], ids=['all of few', 'a hundred of many'])
def test_when_one_after_the_other_is_broken_the_first_is_named_with_the_remedy(tmp_path, number, named):
    for index in range(number):
        (tmp_path / f'{index:03}.png').touch()
    dataset = build(data_root=str(tmp_path), skip_broken=True, pipeline=LOADED)
    with pytest.raises(
        UserError, match=rf'^{named} images in a row .* {tmp_path}/001.png \(empty.*: check that the disk'
    ):
        dataset[1]


def test_a_file_may_list_images_by_their_whole_path(root, tmp_path):
    (tmp_path / 'left_out.txt').write_text(f'{root}/b/1.png\tcut off\nlink/c.webp\n')
    assert names(build(data_root=str(root), exclude_file=str(tmp_path / 'left_out.txt')), root) == ['a.jpeg', 'b/2.JPG']
