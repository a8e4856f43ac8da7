"""Whatever happens while checkpoints are written, the last good one is there and named."""

import errno
import itertools
import os
from pathlib import Path

import pytest
import torch

from mmdclpp.apis import train
from mmdclpp.apis.training import last_checkpoint
from mmdclpp.engine import CheckpointHook
from mmdclpp.errors import Preempted, UserError
from mmdclpp.utils.checkpoint_files import damage

from .tiny_runs import assert_same, saved, start  # noqa: F401  a fixture

SHORT = {'train_cfg.max_epochs': 2, 'default_hooks.checkpoint.max_keep_ckpts': 1}
FINAL = 'epoch_2.pth'


def name_of(descriptor: int) -> str:
    """The path of an open file."""
    return os.readlink(f'/proc/self/fd/{descriptor}')


class PowerCut(BaseException):
    """Nothing runs after it."""


@pytest.fixture
def power(monkeypatch):
    """``power.cut(folder, n)``: the n-th step that brings a file of ``folder`` to the disk, renames or deletes it, is
    the last. Of what was not brought to the disk by then, half is lost."""

    class Power:
        was_cut = False

        def cut(self, folder: Path, number: int) -> None:
            steps, synced, renamed, self.was_cut = itertools.count(1), set(), [], False

            def lose() -> None:
                self.was_cut = True
                for path, before in reversed(renamed):
                    if before is None:
                        path.unlink()
                    else:
                        path.write_bytes(before)
                        synced.add(path.stat().st_ino)
                for file in folder.iterdir():
                    if file.is_file() and ours(file) and file.stat().st_ino not in synced:
                        os.truncate(file, file.stat().st_size // 2)
                raise PowerCut

            def ours(path: object) -> bool:
                return Path(os.fspath(path)).parent == folder and str(path).endswith(('.pth', '.tmp', 'checkpoint'))

            def counted(act, path_of):
                def step(*args, **kwargs):
                    if self.was_cut:
                        raise PowerCut
                    if ours(path_of(*args)):
                        if next(steps) == number:
                            lose()
                        if act is fsync:
                            synced.add(os.fstat(args[0]).st_ino)
                        if act is replace:
                            path = Path(args[1])
                            renamed.append((path, path.read_bytes() if path.exists() else None))
                    elif act is fsync and path_of(*args) == str(folder):
                        renamed.clear()
                    return act(*args, **kwargs)

                return step

            self.lose = lose
            fsync, replace = os.fsync, os.replace
            monkeypatch.setattr(
                os, 'fsync', counted(fsync, lambda descriptor: os.readlink(f'/proc/self/fd/{descriptor}'))
            )
            for name in ('replace', 'remove', 'unlink'):
                monkeypatch.setattr(os, name, counted(getattr(os, name), lambda path, *_: path))

        def restore(self) -> None:
            monkeypatch.undo()

    return Power()


# Of each epoch: the checkpoint is brought to the disk, renamed, and its temporary name looked up; so is the note; then,
# of the second, the checkpoint before is deleted.
@pytest.mark.parametrize('step', [*range(1, 14), pytest.param(14, id='afterwards')])
def test_a_run_whose_power_is_cut_while_it_saves_ends_the_same(start, power, tmp_path, step):  # noqa: F811
    start('whole', SHORT)
    folder = tmp_path / 'cut'
    folder.mkdir()
    power.cut(folder, step)
    try:
        start('cut', SHORT)
        assert step == 14
        power.lose()
    except PowerCut:
        pass
    assert power.was_cut
    power.restore()
    if step > 5:
        assert damage(last_checkpoint(folder)) is None, 'the first was there by then'
    start('cut', SHORT, resume=True)
    assert_same(saved(folder, FINAL), saved(tmp_path / 'whole', FINAL))
    left = {file.name for file in folder.glob('*.pth')} - {FINAL}
    assert left <= ({'epoch_1.pth'} if step in (12, 13) else set()), 'one that was due to be deleted may stay'
    assert not list(folder.glob('.*.tmp'))


@pytest.fixture
def full_disk(monkeypatch):
    """A disk on which no file of such a name has room."""

    def fill(*names):
        fsync = os.fsync

        def fail(descriptor):
            name = Path(name_of(descriptor)).name
            if any(part in name for part in names):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return fsync(descriptor)

        monkeypatch.setattr(os, 'fsync', fail)

    return fill


def test_on_a_full_disk_the_older_checkpoint_stays_and_training_goes_on(start, full_disk, tmp_path):  # noqa: F811
    full_disk('epoch_2')
    start('full', {'default_hooks.checkpoint.max_keep_ckpts': 1, 'train_cfg.max_epochs': 3})
    start('whole')
    assert_same(saved(tmp_path / 'full'), saved(tmp_path / 'whole'))
    (log,) = (tmp_path / 'full').glob('*/*.log')
    assert 'No checkpoint was saved' in log.read_text()
    assert 'epoch_2.pth cannot be written (No space left on device): it takes' in log.read_text()
    assert 'Training goes on' in log.read_text()


def test_on_a_full_disk_the_last_checkpoint_is_missed_by_an_error_and_the_one_before_stays(start, full_disk, tmp_path):  # noqa: F811
    full_disk('epoch_2')
    with pytest.raises(UserError, match=r'epoch_2.pth cannot be written \(No space left on device\)'):
        start('full', SHORT)
    assert [file.name for file in (tmp_path / 'full').glob('*.pth')] == ['epoch_1.pth']
    assert (tmp_path / 'full/last_checkpoint').read_text().endswith('epoch_1.pth')


def test_on_a_full_disk_the_best_checkpoint_so_far_stays(classifier_config, full_disk, tmp_path):
    hook = dict(type='CheckpointHook', save_best='accuracy/top1', rule='less')  # of equal scores the first stays
    options = {'default_hooks.checkpoint': hook, 'train_cfg.max_epochs': 1}
    train(classifier_config, tmp_path / 'run', cfg_options=options)
    (best,) = (tmp_path / 'run').glob('best_*.pth')
    checkpoint = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=False)
    checkpoint['message_hub']['runtime_info']['best_score'] = 1000.0  # the next is better for sure
    torch.save(checkpoint, tmp_path / 'run/epoch_1.pth')
    full_disk('best_')
    runner = train(classifier_config, tmp_path / 'run', resume=True, cfg_options={**options, 'train_cfg.max_epochs': 2})
    assert best.exists()
    assert runner.message_hub.get_info('best_ckpt') == str(best)
    assert runner.message_hub.get_info('best_score') == 1000.0


def _truncate(data: bytes) -> bytes:
    return data[:-100]


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _zeros(data: bytes) -> bytes:
    return bytes(len(data))


@pytest.mark.parametrize(
    'spoil', [_truncate, _flip, _zeros, lambda data: b''], ids=['cut off', 'bit', 'zeros', 'empty']
)
def test_a_damaged_last_checkpoint_is_named_and_the_one_before_is_used(start, tmp_path, spoil):  # noqa: F811
    start('run')
    whole = saved(tmp_path / 'run')
    last = tmp_path / 'run/epoch_3.pth'
    last.write_bytes(spoil(last.read_bytes()))
    with pytest.warns(UserWarning, match=r'epoch_3.pth is (cut off|damaged).*: training goes on from .*epoch_2.pth'):
        start('run', resume=True)
    assert_same(saved(tmp_path / 'run'), whole)


def test_without_any_whole_checkpoint_nothing_starts_anew_by_itself(start, tmp_path):  # noqa: F811
    start('run', {'train_cfg.max_epochs': 1})
    (tmp_path / 'run/epoch_1.pth').write_bytes(b'')
    with pytest.raises(UserError, match='epoch_1.pth is cut off or no checkpoint, and there is no other checkpoint'):
        start('run', resume=True)


def test_what_killed_runs_left_half_written_is_cleared(start, tmp_path):  # noqa: F811
    folder = tmp_path / 'run'
    folder.mkdir()
    left, foreign = folder / '.epoch_1.pth.123.tmp', folder / '.mine.tmp'
    for file in (left, foreign):
        file.write_bytes(b'half')
    start('run', {'train_cfg.max_epochs': 1})
    assert not left.exists() and foreign.exists()


def test_a_checkpoint_of_another_number_of_processes_is_resumed_with_a_warning(start, tmp_path):  # noqa: F811
    start('run', {'train_cfg.max_epochs': 1})
    file = tmp_path / 'run/epoch_1.pth'
    checkpoint = torch.load(file, weights_only=False)
    state = checkpoint['meta']['run_state']
    state['random'] *= 2
    torch.save(checkpoint, file)
    runner = start('run', {'train_cfg.max_epochs': 2}, resume=True)
    (log,) = sorted((tmp_path / 'run').glob('*/*.log'))[-1:]
    assert 'The checkpoint is of 2 processes, this run has 1' in log.read_text()
    assert runner.epoch == 2


@pytest.mark.parametrize('batch_size', [1, 4])
def test_other_batches_are_refused_and_the_right_ones_still_go_on(start, tmp_path, batch_size):  # noqa: F811
    start('run', {'train_cfg.max_epochs': 1})
    with pytest.raises(UserError, match=f'batches of 2 samples.* this run has {batch_size}: correct train_dataloader'):
        start('run', {'train_dataloader.batch_size': batch_size}, resume=True)
    assert start('run', resume=True).epoch == 3


def test_another_number_of_images_is_trained_on_whole(start, tmp_path, tiny_coco):  # noqa: F811
    listing = tmp_path / 'images.txt'
    images = sorted(map(str, (tiny_coco / 'images').rglob('*.jpg')))

    def run(number, epochs, **arguments):
        listing.write_text('\n'.join(images[:number]))
        dataset = {'train_dataloader.dataset.ann_file': str(listing), 'train_dataloader.dataset.data_prefix': ''}
        return start('run', {**dataset, 'train_cfg.max_epochs': epochs}, **arguments)

    run(4, epochs=1)
    assert run(8, epochs=2, resume=True).iter == 2 + 4
    assert run(6, epochs=4, resume=True).iter == 2 + 4 + 3 + 3


def test_a_run_resumed_in_another_folder_leaves_the_first_as_it_is(start, tmp_path):  # noqa: F811
    with pytest.raises(Preempted):
        start('first', stop=(6, True))
    before = sorted((tmp_path / 'first').glob('*.pth'))
    start('second', resume=str(tmp_path / 'first/iter_6.pth'))
    assert sorted((tmp_path / 'first').glob('*.pth')) == before
    start('whole')
    assert_same(saved(tmp_path / 'second'), saved(tmp_path / 'whole'))


def test_a_checkpoint_due_at_the_iteration_of_a_signal_is_kept(start, tmp_path):  # noqa: F811
    hook = dict(type='CheckpointHook', by_epoch=False, interval=2, max_keep_ckpts=-1)
    options = {'default_hooks.checkpoint': hook}
    with pytest.raises(Preempted, match='iter_4.pth is saved'):
        start('run', options, stop=(4, True))
    start('run', options, resume=True)
    assert {file.name for file in (tmp_path / 'run').glob('*.pth')} == {f'iter_{n}.pth' for n in range(2, 13, 2)}
    start('whole', options)
    assert_same(*(saved(tmp_path / name, 'iter_12.pth') for name in ('run', 'whole')))


def test_a_best_checkpoint_written_again_is_not_deleted(classifier_config, tmp_path):
    hook = dict(type='CheckpointHook', save_best='accuracy/top1')
    runner = train(classifier_config, tmp_path, cfg_options={'default_hooks.checkpoint': hook}, seed=0)
    (best,) = tmp_path.glob('best_*.pth')
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
    hook._save_best_checkpoint(runner, {'accuracy/top1': 1000.0})
    assert best.exists() and runner.message_hub.get_info('best_score') == 1000.0


@pytest.mark.parametrize('note', ['', 'gone/epoch_9.pth'], ids=['empty', 'of a file that is gone'])
def test_without_a_named_checkpoint_the_newest_whole_one_is_used(start, tmp_path, note):  # noqa: F811
    start('run')
    whole = saved(tmp_path / 'run')
    (tmp_path / 'run/epoch_3.pth').unlink()
    (tmp_path / 'run/last_checkpoint').write_text(note)
    with pytest.warns(UserWarning, match=r'is gone: training goes on from .*epoch_2.pth'):
        start('run', resume=True)
    assert_same(saved(tmp_path / 'run'), whole)
