"""The tools, as a user calls them but for the process."""

import re
import runpy
import sys

import pytest

from mmdclpp.errors import UserError

pytest.importorskip('pycocotools.mask', reason='draws outlines: pip install pycocotools')


def test_coco_is_downloaded_converted_verified_and_its_archives_deleted(call, published_coco, server, tmp_path, capsys):
    args = ('--download', '--mirror', server.url, '--delete-archives', '--verify', 'full', '--workers', 1)
    assert call('coco', *args) == 0
    assert list((tmp_path / 'data' / 'downloads').iterdir()) == []
    table = capsys.readouterr().out.splitlines()[-13:]
    assert table[0].split() == ['found', 'expected', 'decoded']
    assert all(line.endswith('good') for line in table[1:])
    (tmp_path / 'data' / 'coco' / 'val2017' / '000000000101.jpg').unlink()
    assert call('coco', '--verify', '--workers', 1) == 1
    assert 'val2017: 1 found, 2 expected' in capsys.readouterr().out


def test_voc_is_downloaded_converted_and_verified(call, published_voc, server, tmp_path, capsys):
    assert call('voc', '--download', '--mirror', server.url, '--verify', '--workers', 1) == 0
    assert len(list((tmp_path / 'data' / 'downloads').iterdir())) == 4
    (tmp_path / 'data' / 'VOCdevkit' / 'VOC2012' / 'JPEGImages' / '2008_000003.jpg').unlink()
    assert call('voc', '--years', 2012, '--verify', '--workers', 1) == 1
    assert call('voc', '--years', 2012, '--no-aug', '--verify', '--workers', 1) == 0


@pytest.mark.parametrize('tool, names', [('coco', ['train2017.zip', 'val2017.zip']), ('voc', ['benchmark.tgz'])])
def test_a_dry_run_lists_what_would_be_done_and_does_nothing(call, tmp_path, capsys, tool, names):
    assert call(tool, '--dry-run', '--download') == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
    assert 'GB of disk space needed below data' in printed
    assert list(tmp_path.iterdir()) == []


def test_without_data_or_download_the_remedies_are_named(call):
    with pytest.raises(UserError, match='data/coco/train2017 does not exist: add --download, put train2017.zip at'):
        call('coco')


@pytest.mark.parametrize('tool, first', [('coco', 'train2017'), ('voc', 'VOC2007 trainval: images')])
def test_verification_of_missing_data_tabulates_what_is_missing(call, capsys, tool, first):
    assert call(tool, '--verify', '--workers', 1) == 1
    printed = capsys.readouterr().out
    assert re.match('not prepared: data/.* does not exist: add --download', printed)
    assert re.search(rf'^{first} +0 .* wrong$', printed, re.MULTILINE)


def test_masks_of_ones_own_data_are_drawn_and_verified(call, tiny_coco, tmp_path, capsys):
    args = ('--annotations', tiny_coco / 'annotations.json', '--images', tiny_coco / 'images', '--out', 'masks')
    assert call('coco_objects', *args, '--verify', 'full', '--workers', 1) == 0
    assert '8 masks written to masks' in capsys.readouterr().out
    assert len(list((tmp_path / 'masks').rglob('*.png'))) == 8
    with pytest.raises(SystemExit, match='2'):
        call('coco_objects', '--annotations', 'a.json', '--out', 'masks', '--verify')
    assert '--verify compares masks with images: name their folder with --images' in capsys.readouterr().err


def test_a_user_sees_one_line_and_status_2(repo, server, tmp_path, monkeypatch, capsys):
    tool = repo / 'tools' / 'dataset_converters' / 'voc.py'
    monkeypatch.syspath_prepend(tool.parent)
    monkeypatch.setattr(sys, 'argv', [str(tool), '--data-root', str(tmp_path), '--download', '--mirror', server.url])
    with pytest.raises(SystemExit, match='2'):
        runpy.run_path(str(tool), run_name='__main__')
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'error: {server.url}/VOCtrainval_06-Nov-2007.tar is refused (404 Not Found): put a copy of')
