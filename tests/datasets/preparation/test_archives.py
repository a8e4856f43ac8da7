import io
import re
import shutil
import tarfile
import zipfile
from collections import namedtuple
from contextlib import suppress
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdclpp.datasets.preparation import archives as module
from mmdclpp.datasets.preparation.archives import Archive, describe, obtain, space_needed
from mmdclpp.errors import UserError

from .published import tarred, zipped

FILES = {
    f'set/{name}': np.random.default_rng(len(name)).bytes(50_000)
    for name in ('a/1.jpg', 'a/22.jpg', 'b/333.jpg', 'list.txt')
}
SMALL = {
    name: build({'set/list.txt': b'abc' * 9, 'set/a/1.jpg': b'x'})
    for name, build in {'set.zip': zipped, 'set.tar': tarred, 'set.tgz': lambda files: tarred(files, 'w:gz')}.items()
}
PACKED = {'set.zip': zipped(FILES), 'set.tar': tarred(FILES), 'set.tgz': tarred(FILES, 'w:gz')}


def archive_of(content, name='set.zip', **options):
    options = {'size': len(content), 'md5': md5(content).hexdigest(), 'unpacked': 1, **options}
    url = f'http://127.0.0.1:9/{name}'
    return Archive(url=url, prefix='set', target='x/set', gives=('x/set/list.txt',), **options)


def put(archive, root, content):
    archive.path(root).parent.mkdir(parents=True, exist_ok=True)
    archive.path(root).write_bytes(content)
    return archive


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


EXPECTED = {name.removeprefix('set/'): content for name, content in FILES.items()}


@pytest.mark.parametrize('name', PACKED)
def test_an_archive_that_one_has_is_unpacked_without_download(tmp_path, name):
    obtain([put(archive_of(PACKED[name], name), tmp_path, PACKED[name])], tmp_path)
    assert tree(tmp_path / 'x') == {f'set/{name}': content for name, content in EXPECTED.items()}


def test_only_what_is_wanted_is_unpacked(tmp_path):
    archive = archive_of(PACKED['set.tgz'], 'set.tgz', only=('a/*', 'list.txt'))
    obtain([put(archive, tmp_path, PACKED['set.tgz'])], tmp_path)
    assert sorted(tree(tmp_path / 'x' / 'set')) == ['a/1.jpg', 'a/22.jpg', 'list.txt']


def test_what_is_in_place_is_neither_downloaded_nor_unpacked(tmp_path, server):
    place = tmp_path / 'x' / 'set'
    place.mkdir(parents=True)
    (place / 'list.txt').write_text('mine')
    obtain([archive_of(PACKED['set.zip'])], tmp_path, download_missing=True, mirror=server.url)
    assert tree(tmp_path) == {'x/set/list.txt': b'mine'}
    assert server.requests == []


def test_files_that_are_there_are_not_overwritten(tmp_path):
    (tmp_path / 'x' / 'set' / 'a').mkdir(parents=True)
    (tmp_path / 'x' / 'set' / 'a' / '1.jpg').write_text('mine')
    obtain([put(archive_of(PACKED['set.zip']), tmp_path, PACKED['set.zip'])], tmp_path)
    assert tree(tmp_path / 'x' / 'set') == {**EXPECTED, 'a/1.jpg': b'mine'}


def test_a_link_to_another_place_is_filled_there(tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'x').mkdir()
    (tmp_path / 'x' / 'set').symlink_to(tmp_path / 'elsewhere')
    obtain([put(archive_of(PACKED['set.zip']), tmp_path, PACKED['set.zip'])], tmp_path)
    assert tree(tmp_path / 'elsewhere') == EXPECTED
    assert (tmp_path / 'x' / 'set').is_symlink()


@pytest.mark.parametrize('there', [False, True], ids=['new folder', 'folder that is there'])
@pytest.mark.parametrize('where', ['extracting', 'moving'])
def test_an_unpacking_that_was_killed_is_done_again(tmp_path, monkeypatch, where, there):
    archive = put(archive_of(PACKED['set.zip']), tmp_path, PACKED['set.zip'])
    if there:
        (tmp_path / 'x' / 'set' / 'a').mkdir(parents=True)
    with monkeypatch.context() as patch:
        owner, function = (module, '_copy') if where == 'extracting' else (shutil, 'move')
        calls, original = [], getattr(owner, function)

        def die_midway(*args):
            calls.append(args)
            if len(calls) == (3 if where == 'extracting' or there else 1):
                raise KeyboardInterrupt
            return original(*args)

        patch.setattr(owner, function, die_midway)
        patch.setattr(shutil, 'rmtree', lambda *_, **__: None)  # a killed process does not tidy up
        with pytest.raises(KeyboardInterrupt):
            obtain([archive], tmp_path)
    assert not archive.is_unpacked(tmp_path)
    assert list((tmp_path / 'x').glob('.*'))
    obtain([archive], tmp_path)
    assert tree(tmp_path / 'x') == {f'set/{name}': content for name, content in EXPECTED.items()}


def test_archives_are_kept_unless_asked_otherwise(tmp_path):
    for delete in (False, True):
        archive = put(archive_of(PACKED['set.zip']), tmp_path, PACKED['set.zip'])
        obtain([archive], tmp_path, delete=delete)
        assert archive.path(tmp_path).exists() != delete
        shutil.rmtree(tmp_path / 'x')


def test_a_missing_archive_names_what_to_do(tmp_path):
    message = f'{tmp_path}/x/set/list.txt does not exist: add --download, put set.zip at {tmp_path}/downloads/set.zip,'
    with pytest.raises(UserError, match=re.escape(message)):
        obtain([archive_of(PACKED['set.zip'])], tmp_path)


def test_a_wrong_archive_of_the_user_is_told_and_left(tmp_path):
    archive = put(archive_of(PACKED['set.zip']), tmp_path, b'another file')
    with pytest.raises(UserError, match=r'downloads/set.zip is not the expected archive \(12 bytes, not \d+\): move'):
        obtain([archive], tmp_path)
    assert archive.path(tmp_path).read_bytes() == b'another file'


@pytest.mark.parametrize('name', PACKED)
@pytest.mark.parametrize('kept', [0.1, 0.5, 0.95])
def test_a_truncated_archive_of_unknown_checksum_is_told_and_nothing_is_put_in_place(tmp_path, name, kept):
    content = PACKED[name][: int(kept * len(PACKED[name]))]
    archive = put(archive_of(content, name, md5=None), tmp_path, content)
    with pytest.raises(
        UserError, match=rf'downloads/{name} (is broken \(.+\)|does not hold x/set/list.txt): delete it'
    ):
        obtain([archive], tmp_path)
    assert not archive.is_unpacked(tmp_path)
    assert not list(tmp_path.rglob('.*'))


@pytest.mark.parametrize('name', ['set.zip', 'set.tgz'])
def test_a_short_answer_that_looks_complete_is_told_removed_and_downloaded_again(tmp_path, server, name):
    server.files[name], server.tells_length, server.cuts = PACKED[name], False, [100_000]
    archive = archive_of(PACKED[name], name, md5=None)
    with pytest.raises(
        UserError, match=rf'downloads/{name} is broken \(.+\) and was removed: run again, or .*--mirror'
    ):
        obtain([archive], tmp_path, download_missing=True, mirror=server.url)
    assert not archive.is_unpacked(tmp_path)
    assert not list((tmp_path / 'downloads').iterdir())
    obtain([archive], tmp_path, download_missing=True, mirror=server.url)
    assert tree(tmp_path / 'x' / 'set') == EXPECTED


def test_a_flipped_bit_in_a_zip_of_unknown_checksum_is_found_by_its_crc(tmp_path):
    content = bytearray(PACKED['set.zip'])
    content[len(content) // 2] ^= 1
    archive = put(archive_of(bytes(content), md5=None), tmp_path, bytes(content))
    with pytest.raises(UserError, match=r'downloads/set.zip is broken \(Bad CRC-32 for file .*\): delete it'):
        obtain([archive], tmp_path)
    assert not archive.is_unpacked(tmp_path)


def tar_with(**attributes):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as archive:
        info = tarfile.TarInfo('set/link')
        for name, value in attributes.items():
            setattr(info, name, value)
        archive.addfile(info)
        inner = tarfile.TarInfo('set/link/list.txt')
        inner.size = 4
        archive.addfile(inner, io.BytesIO(b'evil'))
    return buffer.getvalue()


def zip_with_link():
    info = zipfile.ZipInfo('set/link')
    info.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        archive.writestr(info, '/etc')
    return buffer.getvalue()


@pytest.mark.parametrize(
    'content',
    [
        zipped({'set/list.txt': b'', '../evil': b'evil'}),
        zipped({'set/list.txt': b'', 'set/../../../evil': b'evil'}),
        zipped({'set/list.txt': b'', '/tmp/evil': b'evil'}),
        tarred({'set/list.txt': b'', 'set/../../evil': b'evil'}),
        tar_with(type=tarfile.SYMTYPE, linkname='/etc'),
        tar_with(type=tarfile.SYMTYPE, linkname='../..'),
        tar_with(type=tarfile.LNKTYPE, linkname='/etc/passwd'),
        tar_with(type=tarfile.FIFOTYPE),
        zip_with_link(),
    ],
    ids=['up', 'up from inside', 'absolute', 'tar up', 'link', 'relative link', 'hard link', 'fifo', 'zip link'],
)
def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path, content):
    root = tmp_path / 'deep' / 'root'
    archive = put(archive_of(content, 'set.zip' if content.startswith(b'PK') else 'set.tar'), root, content)
    with pytest.raises(
        UserError, match='downloads/set.(zip|tar) is unsafe, its member .*(evil|link) (leads out|is no regular)'
    ):
        obtain([archive], root)
    assert [path for path in tmp_path.rglob('*') if path.is_file()] == [archive.path(root)]


def test_an_archive_that_holds_far_more_than_it_ought_to_is_refused(tmp_path):
    bomb = {'set/list.txt': b'', 'set/zeros': bytes(200_000)}
    for name, content in (('set.zip', deflated(bomb)), ('set.tgz', tarred(bomb, 'w:gz'))):
        archive = put(archive_of(content, name), tmp_path, content)
        with pytest.raises(UserError, match=f'{name} is unsafe, its member set/zeros is one too many'):
            obtain([archive], tmp_path)
    assert not (tmp_path / 'x' / 'set').exists()


def deflated(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


@pytest.mark.parametrize('name', ['set.zip', 'set.tar', 'set.tgz'])
@settings(max_examples=40, derandomize=True, deadline=None)
@given(data=st.data())
def test_a_damaged_archive_is_named_or_whole(tmp_path_factory, name, data):
    root, content = tmp_path_factory.mktemp('data'), bytearray(SMALL[name])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    with suppress(UserError):
        obtain([put(archive_of(content, name), root, content)], root)
        assert (root / 'x' / 'set' / 'list.txt').is_file()
    assert {path.name for path in root.iterdir()} <= {'downloads', 'x'}


def test_a_disk_too_small_is_told_before_anything_is_downloaded(tmp_path, server, monkeypatch):
    usage = namedtuple('usage', 'free')(1_000_000)
    monkeypatch.setattr(module.shutil, 'disk_usage', lambda _: usage)
    archive = archive_of(PACKED['set.zip'], size=5_000_000_000)
    with pytest.raises(UserError, match=r'has 1.0 MB free and about 5.0 GB are needed: make room'):
        obtain([archive], tmp_path / 'new' / 'root', download_missing=True, mirror=server.url)
    assert server.requests == []
    assert not (tmp_path / 'new').exists()


def test_a_description_tells_state_size_and_space(tmp_path):
    content = PACKED['set.zip']
    archives = [
        archive_of(content, name, size=size) for name, size in (('b.zip', 19_336_861_798), ('set.zip', len(content)))
    ]
    put(archives[1], tmp_path, content)
    first, second, space = describe(archives, Path(tmp_path)).splitlines()
    assert re.fullmatch(rf'to download +19.3 GB  http://127.0.0.1:9/b.zip  ->  {tmp_path}/x/set', first)
    assert re.match(r'to unpack +\d+.\d kB', second)
    assert space.startswith(f'19.3 GB of disk space needed below {tmp_path}, ')


def test_what_has_come_of_a_download_needs_no_space_again(tmp_path):
    archive = archive_of(PACKED['set.zip'], size=5_000_000_000, unpacked=1_000_000)
    put(archive, tmp_path, b'').path(tmp_path).rename(archive.path(tmp_path).with_name('set.zip.part'))
    with archive.path(tmp_path).with_name('set.zip.part').open('wb') as part:
        part.truncate(4_000_000_000)  # sparse: takes no disk
    assert space_needed([archive], tmp_path) == 1_001_000_000
