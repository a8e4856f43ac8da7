import errno
import os
import shutil
from types import SimpleNamespace

import pytest

from mmdclpp.errors import UserError
from mmdclpp.utils.files import DiskFullError, printable, write_whole


@pytest.mark.parametrize('content, written', [('99 % ± 1\n', '99 % ± 1\n'.encode()), (b'\x00\r\n', b'\x00\r\n')])
def test_text_and_bytes_arrive_in_folders_that_are_made(tmp_path, content, written):
    path = write_whole(str(tmp_path / 'new' / 'folder' / 'file'), content)
    assert path == tmp_path / 'new' / 'folder' / 'file'
    assert path.read_bytes() == written
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_earlier_file_whole(tmp_path, monkeypatch):
    path = write_whole(tmp_path / 'file', 'earlier')

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'replace', interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, 'later')
    assert path.read_text() == 'earlier'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(('free', 'told'), [(1_500_000, '0.5 MB more of free space'), (9_000_000, 'more free space')])
def test_a_full_disk_leaves_the_earlier_file_whole_and_what_is_missing_is_told(tmp_path, monkeypatch, free, told):
    path = write_whole(tmp_path / 'file', 'earlier')

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', fail)
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: SimpleNamespace(free=free))
    message = rf'file cannot be written \(No space left on device\): it takes 2.0 MB and needs {told}: delete files'
    with pytest.raises(DiskFullError, match=message):
        write_whole(path, bytes(2_000_000))
    assert path.read_text() == 'earlier'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('place, reason', [('file/below', 'File exists|Not a directory'), ('folder', 'Is a directory')])
def test_a_place_that_cannot_be_written_is_named(tmp_path, place, reason):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'folder').mkdir()
    with pytest.raises(UserError, match=rf'{place} cannot be written \(({reason})\)'):
        write_whole(tmp_path / place, 'text')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file', 'folder']


def test_paths_that_are_no_utf8_are_written_as_their_bytes_and_can_be_printed(tmp_path):
    path = os.fsdecode(b'caf\xe9/\xc3\xa9\t.jpg')
    assert write_whole(tmp_path / 'list', path).read_bytes() == os.fsencode(path)
    assert printable(path) == r'caf\udce9/é\t.jpg'
