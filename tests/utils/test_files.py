import errno
import os
from pathlib import Path

import pytest

from mmdclpp.errors import UserError
from mmdclpp.utils.files import printable, write_whole


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


def test_a_full_disk_leaves_the_earlier_file_whole_and_is_told(tmp_path, monkeypatch):
    path = write_whole(tmp_path / 'file', 'earlier')

    def write_half(self: Path, content: bytes) -> None:
        with self.open('wb') as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, 'write_bytes', write_half)
    with pytest.raises(UserError, match=r'file cannot be written \(No space left on device\): choose another place'):
        write_whole(path, 'later')
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
