"""mmengine's checkpoints, which nothing that happens meanwhile can cost."""

import os
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from mmengine.dist import is_main_process, master_only
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook as Base
from mmengine.runner import BaseLoop, Runner

from mmdclpp.engine.run_state import RUN_STATE, run_state
from mmdclpp.errors import UserError
from mmdclpp.registry import HOOKS
from mmdclpp.utils.files import leftovers, write_whole

INTERIM = 'iter_{}.pth'  # as mmengine names checkpoints within an epoch
_PATTERNS = ('epoch_*.pth', 'iter_*.pth', 'best_*.pth', 'last_checkpoint')


class WholeFileBackend(LocalBackend):
    """mmengine's backend of local files, which writes them whole or not at all."""

    def put(self, obj: bytes, filepath: os.PathLike) -> None:
        """Write a file by :func:`~mmdclpp.utils.files.write_whole`."""
        write_whole(filepath, obj)


register_backend('whole', WholeFileBackend, force=True)


@HOOKS.register_module()
class CheckpointHook(Base):
    """mmengine's hook of the same name, with the same arguments, which loses nothing.

    - A checkpoint is written under another name, brought to the disk, and renamed; only then ``last_checkpoint`` names
      it, and only after that an older one is deleted, the best so far too.
    - If one cannot be written, such as on a full disk, this is an error in the log, nothing is deleted, and training
      goes on to the next; if it is the last, the run ends with the error.
    - ``meta['run_state']`` has what ``EpochBasedTrainLoop`` needs to go on exactly, in the middle of an epoch too.

    Files on other storage than a local file system are written by mmengine's backend for it.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.backend_args is None and self.file_client_args is None and '://' not in str(self.out_dir or ''):
            self.backend_args = dict(backend='whole')
        self._before_validation: Optional[Dict[str, Any]] = None
        self._saves_best = False

    def before_train(self, runner: Runner) -> None:
        """Prepare the folder, and take what a killed run left there."""
        super().before_train(runner)
        # Resumed in another folder, or in a copy, it leaves what lies in the first.
        if getattr(self, 'best_ckpt_path', None):
            self.best_ckpt_path = self._in_folder(self.best_ckpt_path)
        for metric, path in getattr(self, 'best_ckpt_path_dict', {}).items():
            self.best_ckpt_path_dict[metric] = path and self._in_folder(path)
        self._clean()

    def _in_folder(self, path: str) -> str:
        return self.file_backend.join_path(self.out_dir, os.path.basename(path))

    @master_only
    def _clean(self) -> None:
        if isinstance(self.file_backend, LocalBackend):
            for pattern in _PATTERNS:
                for file in Path(self.out_dir).glob(leftovers(pattern)):
                    file.unlink(missing_ok=True)

    def after_load_checkpoint(self, runner: Runner, checkpoint: Dict[str, Any]) -> None:
        """Tell the loop where a resumed run was."""
        state = checkpoint['meta'].pop(RUN_STATE, None) if isinstance(checkpoint.get('meta'), dict) else None
        if runner._resume:
            runner.train_loop.resumed = state

    def before_val_epoch(self, runner: Runner) -> None:
        """Note the random states of training, to which validation comes back at its end."""
        if self.save_best is not None and isinstance(runner._train_loop, BaseLoop):  # not of testing alone
            self._before_validation = dict(run_state(runner), validated=True)

    def after_val_epoch(self, runner: Runner, metrics: Dict[str, float]) -> None:
        """Save the best, as mmengine does."""
        super().after_val_epoch(runner, metrics)
        self._before_validation = None

    def save_interim(self, runner: Runner) -> str:
        """Save now, after an iteration in the middle of an epoch; the next checkpoint takes this one's place.

        Returns:
            str: The file.

        Raises:
            UserError: If it cannot be written.
        """
        name = INTERIM.format(runner.iter + 1)
        path = self._in_folder(name)
        if path == self.last_ckpt:  # this iteration has its checkpoint
            return path
        with self._all_or_nothing(runner):
            self._drop_interim(runner)
            runner.message_hub.update_info('interim_ckpt', name)
            self._write(runner, name, dict(epoch=runner.epoch, iter=runner.iter + 1))
        return path

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: Dict[str, Any]) -> None:
        try:
            with self._all_or_nothing(runner):
                self._drop_interim(runner)
                if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
                    if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                        outdated = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
                        self._remove(outdated)
                    self.keep_ckpt_ids.append(step)
                    runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
                name = self.filename_tmpl.format(step)
                self.last_ckpt = self._in_folder(name)
                runner.message_hub.update_info('last_ckpt', self.last_ckpt)
                self._write(runner, name, meta)
        except UserError as error:
            last = meta['epoch'] >= runner.max_epochs if self.by_epoch else meta['iter'] >= runner.max_iters
            if last or self._saves_best:
                raise
            runner.logger.error(f'No checkpoint was saved: {error}. Training goes on, and tries again at the next.')

    def _save_best_checkpoint(self, runner: Runner, metrics: Dict[str, float]) -> None:
        self._saves_best = True
        try:
            with self._all_or_nothing(runner):
                super()._save_best_checkpoint(runner, metrics)
        except UserError as error:
            runner.logger.error(f'The best checkpoint was not saved: {error}. The one before stays.')
        finally:
            self._saves_best = False

    def _write(self, runner: Runner, name: str, meta: Dict[str, Any]) -> None:
        # By all processes: each has its own random states.
        meta = {**meta, RUN_STATE: self._before_validation or run_state(runner)}
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            write_whole(Path(runner.work_dir) / 'last_checkpoint', str(self._in_folder(name)))

    def _drop_interim(self, runner: Runner) -> None:
        interim = runner.message_hub.runtime_info.get('interim_ckpt')
        if interim:
            runner.message_hub.update_info('interim_ckpt', '')
            self._remove(interim)

    def _remove(self, name: str) -> None:
        if is_main_process():
            self.file_backend.remove(self._in_folder(name))

    @contextmanager
    def _all_or_nothing(self, runner: Runner) -> Iterator[None]:
        """Put deletions off until all is written; after an error, all is noted as it was, and nothing deleted."""
        attributes = {name: _copied(value) for name, value in vars(self).items() if name in _NOTES}
        told = dict(runner.message_hub.runtime_info)
        backend, self.file_backend = self.file_backend, _Delaying(self.file_backend)
        try:
            yield
            outdated = self.file_backend.outdated
        except UserError:
            vars(self).update(attributes)
            runner.message_hub.runtime_info.clear()
            runner.message_hub.runtime_info.update(told)
            raise
        finally:
            self.file_backend = backend
        # One that is replaced by another of the same name is none.
        current = {self.last_ckpt, getattr(self, 'best_ckpt_path', None)}
        current.update(getattr(self, 'best_ckpt_path_dict', {}).values())
        for path in outdated:
            if path not in current and backend.isfile(path):
                backend.remove(path)


# What the hook remembers of the checkpoints that there are.
_NOTES = ('last_ckpt', 'keep_ckpt_ids', 'best_ckpt_path', 'best_ckpt_path_dict')


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, (deque, dict)) else value


class _Delaying:
    """A file backend whose deletions are noted only."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.outdated: List[str] = []

    def remove(self, path: str) -> None:
        """Note a file."""
        self.outdated.append(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)
