"""What becomes of images that could not be loaded: named once, counted, and of too many the end of the run."""

import math
from pathlib import Path
from typing import Dict, Optional

from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdclpp.datasets.exclude_file import exclude_lines
from mmdclpp.errors import UserError
from mmdclpp.registry import HOOKS
from mmdclpp.utils.files import printable, write_whole

FILE_NAME = 'broken_images.txt'
LEAST_READ = 1000  # images that have to be read before their share is judged, unless the data set has fewer: ours
_NAMED = 3


@HOOKS.register_module()
class BrokenImagesHook(Hook):
    """Log and count the images in whose place others were trained on, and end the run when they are too many.

    Data sets tell of them in ``data_samples``, as :class:`~mmdclpp.datasets.UnlabelledImages` with ``skip_broken``
    does. Every ``interval`` iterations and after each epoch, those of all processes are put together. Each file is
    named once, with the reason, in the log and in ``broken_images.txt`` of the work dir, which has the form of the data
    set's ``exclude_file``. After training one line has their number. Count and names are saved with checkpoints, and
    a resumed run goes on with them.

    The share that is compared with ``max_share`` is that of broken files in the images read, each counted once: in the
    images of the data set, when it has been read through. It is judged from 1000 images on, or from the whole data set
    if that has fewer. All processes end with the same error; the last checkpoint stays as it is.

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
        self._read, self._files = 0, {}  # by all processes until the last count
        self._newly_read, self._new_files = 0, {}  # by this process since then

    def before_train(self, runner: Runner) -> None:
        """Begin, or go on where a resumed run was saved."""
        found = runner.message_hub.runtime_info.get('broken_images', {})
        self._read, self._files = found.get('read', 0), dict(found.get('files', {}))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None, outputs: Optional[dict] = None
    ) -> None:
        """Take note of the batch, and count at every ``interval``."""
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        for sample in samples if isinstance(samples, (list, tuple)) else ():
            broken = sample.get('broken_images', ())
            self._new_files.update(broken)
            self._newly_read += 1 + len(broken)
        if self.every_n_train_iters(runner, self.interval):
            self._count(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Count."""
        self._count(runner)

    def after_train(self, runner: Runner) -> None:
        """Say how many there were."""
        if self._files:
            runner.logger.warning(
                f'{len(self._files):,} broken images, listed in {_file(runner)}: others took their place. To leave '
                'them out from the start, give that file as exclude_file of the data set.'
            )

    def _count(self, runner: Runner) -> None:
        found = all_gather_object((self._newly_read, self._new_files))
        self._newly_read, self._new_files = 0, {}
        self._read += sum(read for read, _ in found)
        new = {path: reason for _, files in found for path, reason in files.items() if path not in self._files}
        self._files.update(new)
        runner.message_hub.update_info('broken_images', dict(read=self._read, files=self._files))
        if new:
            self._tell(runner, new)
        if self._files:
            self._judge(runner)

    def _tell(self, runner: Runner, new: Dict[str, str]) -> None:
        for number, (path, reason) in enumerate(new.items(), len(self._files) - len(new) + 1):
            runner.logger.warning(
                f'Broken image {number:,}: {printable(path)} ({reason}). Another image takes its place.'
            )
        if is_main_process():
            write_whole(_file(runner), exclude_lines(self._files.items()))

    def _judge(self, runner: Runner) -> None:
        try:
            total = len(runner.train_dataloader.dataset)
        except TypeError:  # a stream
            total = math.inf
        read = min(self._read, total)
        share = len(self._files) / read
        if share <= self.max_share or read < min(LEAST_READ, total):
            return
        names = ', '.join(map(printable, list(self._files)[:_NAMED]))
        raise UserError(
            f'{len(self._files):,} of the {read:,} images read are broken ({share:.2%}, more than '
            f'{self.max_share:.2%}): {names}{", ..." if len(self._files) > _NAMED else ""}, all listed in '
            f'{_file(runner)}: restore them, or leave them out with train_dataloader.dataset.exclude_file, or raise '
            'default_hooks.broken_images.max_share'
        )


def _file(runner: Runner) -> Path:
    return Path(runner.work_dir) / FILE_NAME
