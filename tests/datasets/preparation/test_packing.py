"""Packing images into one file, and verifying it. Truncated and damaged files must never end the process."""

import fcntl
import multiprocessing
import os
import re
import resource
import shutil
import signal
import zlib
from collections import namedtuple

import numpy as np
import pytest
from PIL import Image

from mmdclpp.datasets import UnlabelledImages
from mmdclpp.datasets.decode_image import decode_image
from mmdclpp.datasets.packed_file import MANIFEST_KEY, Manifest, PackedFile, entry_key
from mmdclpp.datasets.preparation import pack_images, packing, passed, verify_packed
from mmdclpp.errors import UserError

pytest.importorskip('lmdb')


@pytest.fixture
def folder(tiny_coco, tmp_path):
    """Eight JPEGs in two folders."""
    return shutil.copytree(tiny_coco / 'images', tmp_path / 'images')


def contents(folder):
    """The files of a folder by their relative paths, in the order of the data set."""
    images = UnlabelledImages(data_root=str(folder))
    paths = [images.get_data_info(index)['img_path'] for index in range(len(images))]
    return {images.relative_path(path): open(path, 'rb').read() for path in paths}


def pack(folder, out, **kwargs):
    return pack_images(UnlabelledImages(data_root=str(folder)), out, workers=2, **kwargs)


def unpacked(file):
    packed = PackedFile(file)
    return {path: packed.read(index) for index, path in enumerate(packed.manifest().paths)}


def problems(file, full=True):
    return [problem for check in verify_packed(file, full, workers=2) for problem in check.problems]


def test_names_and_bytes_are_those_of_the_files_in_the_order_of_the_data_set(folder, tmp_path):
    packed = pack(folder, tmp_path / 'out' / 'a.lmdb')
    assert list(unpacked(tmp_path / 'out' / 'a.lmdb').items()) == list(contents(folder).items())
    assert (packed.images, packed.encoded_anew, packed.left_out) == (8, 0, [])
    assert packed.bytes_before == packed.bytes_after == sum(map(len, contents(folder).values()))
    assert os.listdir(tmp_path / 'out') == ['a.lmdb']


def test_names_may_hold_any_bytes_and_a_file_may_be_larger_than_all_before(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, '_FIRST_MAP', 1 << 14)
    (folder / 'tall' / '0.jpg').rename(os.fsdecode(os.fsencode(folder) + b'/\xe9.jpg'))
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)).save(folder / 'z.png')
    pack(folder, tmp_path / 'a.lmdb')
    assert unpacked(tmp_path / 'a.lmdb') == contents(folder)
    assert passed(verify_packed(tmp_path / 'a.lmdb', full=True, workers=1))


def test_broken_images_are_left_out_and_listed_for_exclude_file(folder, tmp_path):
    (folder / 'tall' / '2.jpg').write_bytes((folder / 'tall' / '2.jpg').read_bytes()[:-200])
    (folder / 'wide' / 'empty.png').touch()
    packed = pack(folder, tmp_path / 'a.lmdb')
    assert [path for path, _ in packed.left_out] == ['tall/2.jpg', 'wide/empty.png']
    kept = UnlabelledImages(data_root=str(folder), exclude_file=str(tmp_path / 'a.left_out.txt'))
    assert list(unpacked(tmp_path / 'a.lmdb')) == [kept.relative_path(kept[index]['img_path']) for index in range(7)]
    (folder / 'tall' / '2.jpg').unlink()
    (folder / 'wide' / 'empty.png').unlink()
    pack(folder, tmp_path / 'a.lmdb', overwrite=True)
    assert not (tmp_path / 'a.left_out.txt').exists()


def test_a_short_side_makes_larger_images_smaller_upright_and_leaves_the_others(tmp_path):
    (tmp_path / 'images').mkdir()
    pixels = np.kron(np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8), np.ones((40, 40, 1), np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter when shown
    Image.fromarray(pixels).save(tmp_path / 'images' / 'large.png', exif=turned)
    for name, size in (('exact', (90, 60)), ('small', (300, 30))):
        Image.new('RGB', size).save(tmp_path / 'images' / f'{name}.jpg')
    packed = pack(tmp_path / 'images', tmp_path / 'a.lmdb', short_side=60, quality=95)
    before, after = contents(tmp_path / 'images'), unpacked(tmp_path / 'a.lmdb')
    assert (packed.encoded_anew, packed.bytes_after) == (1, sum(map(len, after.values())))
    assert after['exact.jpg'] == before['exact.jpg'] and after['small.jpg'] == before['small.jpg']
    image = decode_image(after['large.png'])
    assert after['large.png'].startswith(b'\xff\xd8') and image.shape == (100, 60, 3)
    centres = np.s_[10::20, 10::20]  # of the squares, which are 20 px now
    expected = decode_image(before['large.png'])[20::40, 20::40].astype(int)
    assert np.abs(image[centres].astype(int) - expected).mean() < 8
    assert PackedFile(tmp_path / 'a.lmdb').manifest().options == dict(short_side=60, quality=95)


def test_what_is_there_is_replaced_only_on_demand_and_only_when_all_is_packed(folder, tmp_path):
    out = tmp_path / 'a.lmdb'
    pack(folder, out)
    content = out.read_bytes()
    with pytest.raises(UserError, match='a.lmdb is there already: add --overwrite'):
        pack(folder, out)
    (tmp_path / 'broken').mkdir()
    (tmp_path / 'broken' / 'a.png').write_bytes(b'none')
    with pytest.raises(UserError, match='none of 1 images can be decoded, of the first the reason is: '):
        pack(tmp_path / 'broken', out, overwrite=True)
    assert out.read_bytes() == content
    pack(folder / 'wide', out, overwrite=True)
    assert list(unpacked(out)) == ['1.jpg', '3.jpg', '5.jpg', '7.jpg']


def _die_at_the_fourth(folder, out, how):
    def advance(bar):
        bar.done += 1
        if bar.done == 4:
            os.kill(os.getpid(), how)

    packing.ProgressBar.advance = advance
    pack(folder, out)


def test_an_interruption_leaves_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(packing.ProgressBar, 'advance', None)  # restored after what the function sets
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background, shells have it ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            _die_at_the_fourth(folder, tmp_path / 'out' / 'a.lmdb', signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert os.listdir(tmp_path / 'out') == []


def test_what_a_killed_run_leaves_has_another_name_and_is_overwritten(folder, tmp_path, capsys):
    out = tmp_path / 'out' / 'a.lmdb'
    process = multiprocessing.get_context('fork').Process(target=_die_at_the_fourth, args=(folder, out, signal.SIGKILL))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert os.listdir(out.parent) == ['.a.lmdb.packing']
    pack(folder, out)
    assert re.search(r'\.a\.lmdb\.packing, which a killed run has left, is overwritten', capsys.readouterr().out)
    assert os.listdir(out.parent) == ['a.lmdb']
    assert problems(out) == []


def test_two_processes_do_not_write_the_same_file(folder, tmp_path):
    with open(tmp_path / '.a.lmdb.packing', 'w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match='another process is writing .*/.a.lmdb.packing: wait for it'):
            pack(folder, tmp_path / 'a.lmdb')


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(folder, tmp_path, monkeypatch):
    usage = namedtuple('usage', 'free')(30_000)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage)
    with pytest.raises(UserError, match=r'has 30.0 kB free and about 32.8 kB are needed: make room.*--short-side'):
        pack(folder, tmp_path / 'out' / 'a.lmdb')
    assert not (tmp_path / 'out').exists()


def test_a_disk_that_is_full_after_all_is_one_line(folder, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r'a.lmdb cannot be written \(.+\): make room'):
            pack(folder, tmp_path / 'out' / 'a.lmdb')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path / 'out') == []


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(out='images'), 'images is a folder: name a file, such as .*images/images.lmdb'),
        (dict(short_side=0), 'short_side=0 must be 1 px or more'),
        (dict(quality=80), 'quality: nothing is encoded anew without short_side'),
        (dict(short_side=8, quality=101), 'quality=101 must be from 1 to 100'),
        (dict(workers=0), 'workers=0 must be 1 or more'),
    ],
)
def test_wrong_arguments_are_named(folder, tmp_path, arguments, message):
    out = tmp_path / arguments.pop('out', 'a.lmdb')
    with pytest.raises(UserError, match=message):
        pack_images(UnlabelledImages(data_root=str(folder)), out, **arguments)


def test_a_byte_that_has_changed_is_told_with_the_image(folder, tmp_path):
    out = tmp_path / 'a.lmdb'
    pack(folder, out)
    content, image = bytearray(out.read_bytes()), (folder / 'wide' / '3.jpg').read_bytes()
    content[content.index(image) + len(image) // 2] ^= 1
    out.write_bytes(content)
    (problem,) = problems(out, full=False)
    assert re.fullmatch(f'wide/3.jpg: CRC-32 [0-9a-f]{{8}}, not {zlib.crc32(image):08x}', problem)


def test_whatever_byte_has_changed_verification_ends_and_tells_unless_the_images_are_whole(folder, tmp_path):
    out, damaged = tmp_path / 'a.lmdb', tmp_path / 'damaged.lmdb'
    pack(folder, out)
    rng = np.random.default_rng(0)
    expected, told = unpacked(out), 0
    for place in rng.integers(0, out.stat().st_size, 60):
        content = bytearray(out.read_bytes())
        content[place] ^= int(rng.integers(1, 256))
        damaged.write_bytes(content)
        if problems(damaged, full=False):
            told += 1
        else:
            assert unpacked(damaged) == expected
    assert told > 20


def test_what_does_not_decode_or_is_missing_is_told_though_the_checksum_fits(folder, tmp_path):
    files = {**contents(folder), 'no.jpg': b'no image', 'lost.jpg': b'lost'}
    sizes, checksums = zip(*((len(data), zlib.crc32(data)) for data in files.values()))
    with packing._new_database(tmp_path / 'a.lmdb') as put:
        for index, data in enumerate(files.values()):
            if data != b'lost':
                put(entry_key(index), data)
        put(MANIFEST_KEY, Manifest(list(files), sizes, checksums, {}).to_bytes())
    found = problems(tmp_path / 'a.lmdb')
    assert len(found) == 3
    for problem, start in zip(found, ('a.lmdb: 9 found, 10 expected', 'cannot decode image no.jpg', 'packed images: ')):
        assert problem.startswith(start)
    assert 'a.lmdb has no entry 9: copy the file or pack the images anew' in found[2]


def test_the_tool_packs_verifies_and_tells_by_its_status(call, folder, tmp_path, capsys):
    assert call('pack_images', folder, '--out', 'a.lmdb', '--verify', '--workers', 1) == 0
    printed = capsys.readouterr().out
    assert re.search(r'^8 images, about 32.8 kB; .* are free$', printed, re.MULTILINE)
    assert re.search(r'^a.lmdb: 8 images, [\d.]+ kB$', printed, re.MULTILINE)
    assert re.search(r'^a.lmdb +8 +8 +8 +good$', printed, re.MULTILINE)

    (folder / 'wide' / '1.jpg').write_bytes(b'none')
    assert call('pack_images', folder, '--out', 'a.lmdb', '--overwrite', '--short-side', 32) == 1
    printed = capsys.readouterr().out
    assert re.search(r'^7 of them were made smaller: [\d.]+ kB became [\d.]+ kB$', printed, re.MULTILINE)
    assert '1 broken, left out and listed in a.left_out.txt: wide/1.jpg (' in printed

    assert call('pack_images', '--out', 'a.lmdb', '--verify', 'full') == 0
    os.truncate(tmp_path / 'a.lmdb', 30_000)
    assert call('pack_images', '--out', 'a.lmdb', '--verify') == 1
    assert 'a.lmdb is cut off (30,000 of' in capsys.readouterr().out
    with pytest.raises(SystemExit, match='2'):
        call('pack_images', '--out', 'a.lmdb')
    assert 'name what is to be packed, or add --verify' in capsys.readouterr().err


def test_the_tool_takes_lists_of_images(call, tiny_coco, tmp_path):
    (tmp_path / 'list.txt').write_text(f'images/tall/0.jpg\n{tiny_coco}/images/wide/1.jpg\n')
    shutil.copytree(tiny_coco / 'images', tmp_path / 'images')
    assert call('pack_images', tmp_path / 'list.txt', '--out', 'a.lmdb') == 0
    assert list(unpacked('a.lmdb')) == ['images/tall/0.jpg', f'{tiny_coco}/images/wide/1.jpg']
    assert call('pack_images', tiny_coco / 'annotations.json', '--out', 'b.lmdb') == 0
    assert list(unpacked('b.lmdb')) == [f'{"tall" if index % 2 == 0 else "wide"}/{index}.jpg' for index in range(8)]
