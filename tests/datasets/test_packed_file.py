"""A packed file that is read, by several processes; and files that cannot be, which must not end the process."""

import copy
import multiprocessing
import os
import pickle
import sys

import pytest

from mmdclpp.datasets.packed_file import MANIFEST_KEY, Manifest, PackedFile
from mmdclpp.errors import UserError

lmdb = pytest.importorskip('lmdb')


def write(path, entries):
    with lmdb.open(str(path), subdir=False, lock=False) as environment, environment.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key, value)
    return path


def values(count=40):
    return [bytes([index]) * (index * 200) for index in range(count)]


@pytest.fixture
def file(tmp_path):
    """Forty values of up to eight kilobytes."""
    entries = {b'%012d' % index: value for index, value in enumerate(values())}
    manifest = Manifest([f'{index}.jpg' for index in range(40)], [], [], dict(quality=None))
    return write(tmp_path / 'a.lmdb', {**entries, MANIFEST_KEY: manifest.to_bytes()})


def test_entries_are_read_in_any_order(file):
    packed = PackedFile(file)
    assert len(packed) == 40
    assert [packed.read(index) for index in reversed(range(40))] == values()[::-1]
    assert packed.manifest().paths[7] == '7.jpg'


def test_copies_read_the_same_open_file_and_pickles_do_not_carry_it(file):
    packed = PackedFile(file)
    expected = packed.read(3)
    others = [PackedFile(file), copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))]
    assert [other.read(3) for other in others] == [expected] * 3
    assert {id(other._open()) for other in others} == {id(packed._open())}


def test_a_file_that_nobody_reads_any_more_is_closed(file):
    PackedFile(file).read(0)
    assert str(file) not in open('/proc/self/maps').read()


def _read(packed, results):
    data = [packed.read(index) for index in range(40)]
    results.put((os.getpid(), packed._database.process, data))


def test_processes_forked_from_one_that_reads_open_the_file_themselves(file):
    packed = PackedFile(file)
    packed.read(0)
    context = multiprocessing.get_context('fork')
    results = context.Queue()
    processes = [context.Process(target=_read, args=(packed, results)) for _ in range(3)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert {pid for pid, _, _ in found} == {process.pid for process in processes}
    assert all(opened_by == pid for pid, opened_by, _ in found)
    assert all(data == values() for _, _, data in found)
    assert packed.read(5) == values()[5]


@pytest.mark.parametrize('kept', [0, 1, 100, 4096, 4300, 8192, 8193, 20_000, 0.5, -4096, -1])
def test_a_file_that_is_cut_off_is_told_and_does_not_end_the_process(file, kept):
    size = file.stat().st_size
    os.truncate(file, int(kept * size) if 0 < kept < 1 else kept % size if kept < 0 else kept)
    with pytest.raises(UserError, match=r'a.lmdb (is cut off \([\d,]+ of [\d,]+ bytes\)|cannot be opened \(.+\)): '):
        PackedFile(file).read(39)


def test_a_file_with_bytes_behind_its_end_is_whole(file):
    with open(file, 'ab') as end:
        end.write(b'\0' * 5000)
    assert PackedFile(file).read(39) == values()[39]


@pytest.mark.parametrize(
    'entries, message',
    [
        ({b'a': b'b'}, 'has no manifest: name a file that tools/dataset_converters/pack_images.py has written'),
        ({MANIFEST_KEY: b'{}'}, 'has a broken manifest: copy the file or pack the images anew'),
        ({MANIFEST_KEY: Manifest(['a'], [1], [1], {}).to_bytes()[:-3]}, 'has a broken manifest: copy the file or'),
    ],
    ids=['other', 'foreign', 'damaged'],
)
def test_other_databases_are_refused(tmp_path, entries, message):
    with pytest.raises(UserError, match=f'packed images: .*a.lmdb {message}'):
        PackedFile(write(tmp_path / 'a.lmdb', entries)).manifest()


def test_a_later_version_of_the_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr('mmdclpp.datasets.packed_file.FORMAT_VERSION', 2)
    content = Manifest(['a'], [1], [1], {}).to_bytes()
    monkeypatch.undo()
    with pytest.raises(
        UserError, match='a.lmdb has version 2 of the format, where this mmdclpp reads 1: update mmdclpp'
    ):
        PackedFile(write(tmp_path / 'a.lmdb', {MANIFEST_KEY: content})).manifest()


def test_a_missing_entry_is_told(file):
    with pytest.raises(UserError, match='a.lmdb has no entry 40: copy the file or pack the images anew'):
        PackedFile(file).read(40)


def test_what_is_no_database_is_refused(tmp_path):
    (tmp_path / 'text').write_text('no database\n' * 1000)
    for name, message in (
        ('none.lmdb', 'cannot be read .*check data_root and ann_file'),
        ('.', 'cannot be opened'),
        ('text', 'cannot be opened'),
    ):
        with pytest.raises(UserError, match=message):
            PackedFile(tmp_path / name).manifest()


def test_without_lmdb_the_extra_is_named(file, monkeypatch):
    monkeypatch.setitem(sys.modules, 'lmdb', None)
    with pytest.raises(UserError, match=r'lmdb is not installed: pip install "mmdclpp\[packed\]"'):
        PackedFile(file).read(0)
