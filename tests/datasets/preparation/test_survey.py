"""What a survey finds in a folder that has everything wrong with it."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mmdclpp.datasets.preparation import survey as module
from mmdclpp.datasets.preparation.survey import describe_survey, survey_images


def picture(seed, size=(80, 60)):
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.BICUBIC)


@pytest.fixture
def folder(tmp_path):
    picture(0).save(tmp_path / 'a.png')
    picture(1).save(tmp_path / 'b.jpg')
    picture(2).convert('L').save(tmp_path / 'c.tif')
    (tmp_path / 'd_copy.png').write_bytes((tmp_path / 'a.png').read_bytes())
    picture(1).resize((160, 120)).save(tmp_path / 'e_larger.jpg', quality=60)
    picture(3, (12, 9)).save(tmp_path / 'f_tiny.gif')
    Image.new('RGB', (80, 60), 'grey').save(tmp_path / 'g_uniform.bmp')
    (tmp_path / 'h_empty.jpg').touch()
    (tmp_path / 'i_cut.jpg').write_bytes((tmp_path / 'b.jpg').read_bytes()[:-200])
    (tmp_path / 'j_text.png').write_text('no image')
    (tmp_path / 'k_cut.tif').write_bytes((tmp_path / 'c.tif').read_bytes()[:-500])
    video = np.random.default_rng(0).bytes(10_000)
    (tmp_path / 'l_motion.jpg').write_bytes((tmp_path / 'b.jpg').read_bytes() + video)
    return tmp_path


@pytest.fixture
def found(folder):
    return survey_images(sorted(map(str, folder.iterdir())), {'.txt': 2})


def test_images_are_counted_by_format_and_colour(found, folder):
    assert (found.total, found.looked_at, found.usable) == (12, 12, 8)
    assert found.formats == dict(JPEG=3, PNG=2, TIFF=1, GIF=1, BMP=1)
    assert found.modes['L'] == 1
    assert (str(folder / 'e_larger.jpg'), 160, 120) in found.sizes
    assert found.bytes == sum(file.stat().st_size for file in folder.iterdir() if file.name != 'h_empty.jpg')


def test_broken_images_are_named_with_the_reason(found, folder):
    reasons = {path.removeprefix(f'{folder}/'): reason for path, reason in found.broken}
    assert 'truncated' in reasons.pop('k_cut.tif')  # in Pillow's words: only decoding tells
    assert reasons == {
        'h_empty.jpg': 'empty',
        'i_cut.jpg': 'cut off',
        'j_text.png': 'no image that OpenCV or Pillow reads',
    }


def test_an_image_too_large_to_be_decoded_is_told_as_such(tmp_path):
    chunk = b'IHDR' + struct.pack('>IIBBBBB', 100_000, 100_000, 8, 2, 0, 0, 0)
    end = b'\0\0\0\0IEND\xaeB`\x82'
    header = struct.pack('>I', 13) + chunk + struct.pack('>I', zlib.crc32(chunk))
    (tmp_path / 'a.png').write_bytes(b'\x89PNG\r\n\x1a\n' + header + end)
    ((_, reason),) = survey_images([str(tmp_path / 'a.png')]).broken
    assert 'more than 178,956,970' in reason


def test_copies_are_told_from_images_that_look_alike(found, folder):
    assert found.duplicates == [(str(folder / 'd_copy.png'), str(folder / 'a.png'))]
    alike = [(str(folder / name), str(folder / 'b.jpg')) for name in ('e_larger.jpg', 'l_motion.jpg')]
    assert found.alike == alike
    assert found.uniform == [str(folder / 'g_uniform.bmp')]


def test_files_that_only_begin_and_end_alike_are_no_duplicates(tmp_path):
    for name, line in (('a.bmp', 100), ('b.bmp', 120)):
        image = Image.new('L', (200, 200))
        image.paste(255, (0, line, 200, line + 1))
        image.save(tmp_path / name)
    assert survey_images([str(tmp_path / 'a.bmp'), str(tmp_path / 'b.bmp')]).duplicates == []


def test_the_report_says_all_of_it(found, folder):
    text = '\n'.join(describe_survey(found, 64, lambda path: path.removeprefix(f'{folder}/')))
    for line in (
        'all of 9',
        '3 JPEG, 2 PNG',
        'median 80 × 60 px, shorter sides from 9 to 120 px',
        '4, left out: h_empty.jpg (empty), i_cut.jpg (cut off), j_text.png (no image that OpenCV or Pillow reads), ...',
        '1 with a side below 32 px, half a view: f_tiny.gif',
        '1 with the content of another: d_copy.png = a.png',
        '2 of those decoded look like another: e_larger.jpg = b.jpg, l_motion.jpg = b.jpg',
        '1 of those decoded show a single colour: g_uniform.bmp',
        '2 .txt, by their names',
    ):
        assert line in text


def test_of_many_images_neighbours_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'MOST_HEADERS', 20)
    monkeypatch.setattr(module, 'MOST_DECODED', 10)
    for index in range(100):
        picture(index // 2).save(tmp_path / f'{index:03d}.png', compress_level=index % 2)  # each pair looks the same
    found = survey_images(sorted(map(str, tmp_path.iterdir())))
    assert (found.total, found.looked_at, found.decoded) == (100, 20, 10)
    assert len(found.alike) == 5


def test_few_are_decoded_of_huge_images(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'MOST_PIXELS', 3 * 80 * 60)
    monkeypatch.setattr(module, 'LEAST_DECODED', 2)
    for index in range(6):
        picture(index).save(tmp_path / f'{index}.png')
    assert survey_images(sorted(map(str, tmp_path.iterdir()))).decoded == 3


def test_only_images_with_something_after_their_end_are_read_to_tell_whether_they_are_cut_off(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(module, 'is_cut_off', lambda data: asked.append(len(data)))
    survey_images(sorted(map(str, folder.iterdir())))
    assert sorted(asked) == sorted((folder / name).stat().st_size for name in ('i_cut.jpg', 'l_motion.jpg'))


def test_the_report_can_be_printed_whatever_the_names(folder):
    (folder / os.fsdecode(b'caf\xe9\tcut.jpg')).write_bytes((folder / 'i_cut.jpg').read_bytes())
    found = survey_images(sorted(map(str, folder.iterdir())))
    text = '\n'.join(describe_survey(found, 64, lambda path: path.removeprefix(f'{folder}/')))
    assert r'left out: caf\udce9\tcut.jpg (cut off), h_empty.jpg' in text
    assert text.encode()
