import errno
import os
import re
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest

from mmdclpp.datasets.preparation import download as module
from mmdclpp.datasets.preparation.download import download
from mmdclpp.errors import UserError

CONTENT = np.random.default_rng(0).bytes(3_000_000)
MD5 = md5(CONTENT).hexdigest()


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'downloads' / 'a.zip'


@pytest.fixture
def url(server):
    server.files['a.zip'] = CONTENT
    return f'{server.url}/a.zip'


def test_a_file_arrives_whole(server, url, path, capsys):
    download(url, path, len(CONTENT), MD5)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert 'a.zip  3.0 MB of 3.0 MB' in capsys.readouterr().out


def test_a_cut_connection_is_resumed_where_it_ended(server, url, path, capsys):
    server.cuts = [1_000_000, 500_000]
    download(url, path, len(CONTENT), MD5)
    assert path.read_bytes() == CONTENT
    assert server.requests == [('a.zip', None), ('a.zip', 'bytes=1000000-'), ('a.zip', 'bytes=1500000-')]
    assert 'a.zip: connection closed after 1.5 MB; again in' in capsys.readouterr().out


def test_a_later_run_goes_on_with_the_part_of_an_earlier_one(server, url, path, monkeypatch):
    server.cuts = [1_000_000]
    monkeypatch.setattr(module.time, 'sleep', _interrupt)
    with pytest.raises(KeyboardInterrupt):
        download(url, path, len(CONTENT), MD5)
    assert not path.exists()
    download(url, path, len(CONTENT), MD5)
    assert path.read_bytes() == CONTENT
    assert server.requests[1:] == [('a.zip', 'bytes=1000000-')]


@pytest.mark.parametrize('size', [None, len(CONTENT)])
def test_a_part_that_was_complete_is_not_downloaded_again(server, url, path, size):
    _part(path, CONTENT)
    download(url, path, size, MD5)
    assert path.read_bytes() == CONTENT


VALIDATORS = {
    'ETag': ({'ETag': '"1"'}, {'ETag': '"2"'}),
    'date': (
        {'Last-Modified': 'Mon, 01 Jan 2024 00:00:00 GMT'},
        {'Last-Modified': 'Tue, 02 Jan 2024 00:00:00 GMT'},
    ),
    'date beside a weak ETag': (
        {'ETag': 'W/"1"', 'Last-Modified': 'Mon, 01 Jan 2024 00:00:00 GMT'},
        {'ETag': 'W/"1"', 'Last-Modified': 'Tue, 02 Jan 2024 00:00:00 GMT'},
    ),
}


@pytest.mark.parametrize('versions', VALIDATORS.values(), ids=VALIDATORS)
def test_without_a_checksum_the_same_version_is_resumed(server, url, path, versions):
    server.cuts, server.validators = [1_000_000], versions[0]
    download(url, path)
    assert path.read_bytes() == CONTENT
    assert server.requests == [('a.zip', None), ('a.zip', 'bytes=1000000-')]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize('honours_if_range', [True, False])
@pytest.mark.parametrize('versions', VALIDATORS.values(), ids=VALIDATORS)
def test_without_a_checksum_another_version_is_begun_anew(server, url, path, monkeypatch, versions, honours_if_range):
    server.cuts, server.validators, server.honours_if_range = [1_000_000], versions[0], honours_if_range
    with monkeypatch.context() as patch:
        patch.setattr(module.time, 'sleep', _interrupt)
        with pytest.raises(KeyboardInterrupt):
            download(url, path)
    server.files['a.zip'], server.validators = CONTENT[::-1], versions[1]
    download(url, path)
    assert path.read_bytes() == CONTENT[::-1]
    assert server.requests[1] == ('a.zip', 'bytes=1000000-')
    assert list(path.parent.iterdir()) == [path]


def test_without_checksum_and_version_all_is_downloaded_again(server, url, path):
    server.cuts = [1_000_000]
    download(url, path)
    assert path.read_bytes() == CONTENT
    assert server.requests == [('a.zip', None), ('a.zip', None)]


def test_a_server_without_ranges_sends_all_again(server, url, path):
    server.honours_ranges, server.cuts = False, [1_000_000]
    download(url, path, len(CONTENT), MD5)
    assert path.read_bytes() == CONTENT
    assert server.requests == [('a.zip', None), ('a.zip', 'bytes=1000000-')]


def test_a_part_longer_than_the_file_is_begun_anew(server, url, path):
    _part(path, CONTENT + b'more')
    download(url, path, len(CONTENT), MD5)
    assert path.read_bytes() == CONTENT


def test_attempts_are_counted_from_the_last_byte_gained(server, url, path):
    server.cuts = [100_000] * 8
    download(url, path, len(CONTENT), MD5)
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == 9


def test_an_overloaded_server_is_asked_again(server, url, path):
    server.failures = [503, 429, 500]
    download(url, path, len(CONTENT), MD5)
    assert path.read_bytes() == CONTENT


def test_a_file_of_unknown_size_and_checksum_is_taken_as_the_server_tells_it(server, url, path):
    server.tells_length = False
    download(url, path)
    assert path.read_bytes() == CONTENT


def test_a_wrong_checksum_removes_the_file_and_is_told(server, url, path):
    wrong = md5(b'another').hexdigest()
    message = f'{url} is not the expected archive (MD5 {MD5}, not {wrong}) and was removed: run again, or put a copy'
    with pytest.raises(UserError, match=re.escape(message)):
        download(url, path, len(CONTENT), wrong)
    assert list(path.parent.iterdir()) == []


def test_another_size_is_told_before_anything_is_downloaded(server, url, path):
    with pytest.raises(UserError, match=re.escape('not the expected archive (3000000 bytes, not 5)')):
        download(url, path, 5, MD5)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize('status', [404, 403])
def test_a_refusal_names_address_and_remedy_at_once(server, url, path, status):
    server.failures = [status]
    message = rf'{url} is refused \({status} .*\): put a copy of the archive at {path}, or .* --mirror'
    with pytest.raises(UserError, match=message):
        download(url, path)
    assert len(server.requests) == 1


def test_no_connection_names_address_and_remedy_after_five_attempts(server, path, capsys):
    server.server_close()  # nobody listens any more
    with pytest.raises(UserError, match=rf'{server.url}/a.zip cannot be reached .*refused.*put a copy .* at {path}'):
        download(f'{server.url}/a.zip', path)
    assert capsys.readouterr().out.count('again in') == 4


def test_a_full_disk_is_told_and_the_part_kept(server, url, path, monkeypatch):
    _part(path, CONTENT[:1000])

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, 'open', full)
    with pytest.raises(UserError, match=r'a.zip.part cannot be written \(No space left on device\): make room'):
        download(url, path, len(CONTENT), MD5)
    assert path.with_name('a.zip.part').stat().st_size == 1000


def test_a_folder_of_this_machine_can_be_the_mirror(path, tmp_path):
    (tmp_path / 'a.zip').write_bytes(CONTENT)
    download((tmp_path / 'a.zip').as_uri(), path, len(CONTENT), MD5)
    assert path.read_bytes() == CONTENT


def _part(path, content):
    path.parent.mkdir()
    path.with_name('a.zip.part').write_bytes(content)


def _interrupt(*_):
    raise KeyboardInterrupt
