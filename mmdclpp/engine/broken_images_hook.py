"""What becomes of images that could not be loaded: named once, counted, and of too many the end of the run."""

import math
from pathlib import Path
from typing import Any, Dict, Optional

from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdclpp.datasets.exclude_file import exclude_lines
from mmdclpp.engine.run_state import resumed_at
from mmdclpp.errors import UserError
from mmdclpp.registry import HOOKS
from mmdclpp.utils.files import printable, write_whole

FILE_NAME = 'broken_images.txt'
LEAST_READ = 1000  # images that have to be read before their share is judged within the first epoch: ours
_NAMED = 3


@HOOKS.register_module()
class BrokenImagesHook(Hook):
    """Log and count the images in whose place others were trained on, and end the run when they are too many.

    Data sets tell of them in ``data_samples``, as :class:`~mmdclpp.datasets.UnlabelledImages` with ``skip_broken``
    does. Every ``interval`` iterations and after each epoch, those of all processes are put together. Each file is
    named once, with the reason, in the log and in ``broken_images.txt`` of the work dir, which has the form of the data
    set's ``exclude_file``. After training one line has their number. The names are saved with checkpoints: a resumed
    run keeps them in the list, and names none again.

    The share that is compared with ``max_share`` is that of broken files in the images read, each counted once: in the
    images of the data set, repeated or not, when it has been read through. It is judged after each epoch, and before
    that, or in an epoch in which the run was resumed, from 1000 images on, or from the whole data set if that has
    fewer. What counts is what was read since the run was started or resumed: files may have been restored, or left
    out, in between. All processes end with the same error; the last checkpoint stays as it is.

    Args:
        max_share (float): The share that training goes on with, from 0 (none) to 1 (any). Defaults to 0.01.
        interval (int): Iterations from one count to the next. Defaults to 50.

    Raises:
        UserError: If an argument is out of range, or more than ``max_share`` of the images are broken.
    """

    def __init__(self, max_share: float = 0.01, interval: int = 50):
        if not 0 <= max_share <= 1:
            raise UserError(f'BrokenImagesHook: max_share={max_share} must lie between 0 and 1')
        if interval < 1:
            raise UserError(f'BrokenImagesHook: interval={interval} must be 1 or more')
        self.max_share = max_share
        self.interval = interval
        self._listed: Dict[str, str] = {}  # files and reasons, those of the run that was resumed too
        self._read, self._broken = 0, set()  # by all processes, from this start until the last count
        self._newly_read, self._newly_broken = 0, {}  # by this process since then
        self._resumed_within = False  # an epoch, of which few images may be left to read

    def before_train(self, runner: Runner) -> None:
        """Begin, in a resumed run with the list as it was saved."""
        self._resumed_within = bool(resumed_at(runner))
        self._listed = dict(runner.message_hub.runtime_info.get('broken_files', {}))
        if self._listed:  # the work dir may be another
            self._write(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None, outputs: Optional[dict] = None
    ) -> None:
        """Take note of the batch, and count at every ``interval``."""
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        for sample in samples if isinstance(samples, (list, tuple)) else ():
            broken = sample.get('broken_images', ())
            self._newly_broken.update(broken)
            self._newly_read += 1 + len(broken)
        if self.every_n_train_iters(runner, self.interval):
            self._count(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Count, and judge however few were read: the rest of the epoch, if any, is dropped."""
        self._count(runner, least_read=LEAST_READ if self._resumed_within else 0)
        self._resumed_within = False

    def after_train(self, runner: Runner) -> None:
        """Say how many there were."""
        if self._broken:
            runner.logger.warning(
                f'{len(self._broken):,} broken images, listed in {_file(runner)}: others took their place. To leave '
                'them out from the start, give that file as exclude_file of the data set.'
            )

    def _count(self, runner: Runner, least_read: int = LEAST_READ) -> None:
        found = all_gather_object((self._newly_read, self._newly_broken))
        self._newly_read, self._newly_broken = 0, {}
        self._read += sum(read for read, _ in found)
        broken = {path: reason for _, files in found for path, reason in files.items()}
        self._broken.update(broken)
        new = {path: reason for path, reason in broken.items() if path not in self._listed}
        self._listed.update(new)
        runner.message_hub.update_info('broken_files', self._listed)
        if new:
            self._tell(runner, new)
        if self._broken:
            self._judge(runner, least_read)

    def _tell(self, runner: Runner, new: Dict[str, str]) -> None:
        for number, (path, reason) in enumerate(new.items(), len(self._listed) - len(new) + 1):
            runner.logger.warning(
                f'Broken image {number:,}: {printable(path)} ({reason}). Another image takes its place.'
            )
        self._write(runner)

    def _write(self, runner: Runner) -> None:
        if is_main_process():
            try:
                write_whole(_file(runner), exclude_lines(self._listed.items()))
            except UserError as error:  # not the end: checkpoints have them too, other processes know nothing of it
                runner.logger.error(str(error))

    def _judge(self, runner: Runner, least_read: int) -> None:
        total = _number_of_images(runner.train_dataloader.dataset)
        read = min(self._read, total)
        share = len(self._broken) / read
        if share <= self.max_share or read < min(least_read, total):
            return
        some = [path for path in self._listed if path in self._broken][:_NAMED]
        raise UserError(
            f'{len(self._broken):,} of the {read:,} images read are broken ({share:.2%}, more than '
            f'{self.max_share:.2%}): {", ".join(map(printable, some))}{", ..." if len(self._broken) > _NAMED else ""}, '
            f'all listed in {_file(runner)}: restore them, or leave them out with '
            'train_dataloader.dataset.exclude_file, or raise default_hooks.broken_images.max_share'
        )


def _number_of_images(dataset: Any) -> float:
    """How many images a data set has, where wrappers repeat them each once; infinity for a stream."""
    if isinstance(dataset, RepeatDataset):
        return _number_of_images(dataset.dataset)
    if isinstance(dataset, ConcatDataset):
        return sum(map(_number_of_images, dataset.datasets))
    try:
        return len(dataset)
    except TypeError:
        return math.inf


def _file(runner: Runner) -> Path:
    return Path(runner.work_dir) / FILE_NAME
