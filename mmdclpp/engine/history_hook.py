"""What a run remembers of its logged values."""

from typing import Optional

from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner

from mmdclpp.registry import HOOKS


@HOOKS.register_module()
class HistoryHook(Hook):
    """Forget old values of what is logged, of which mmengine keeps a million each.

    It copies all of them at each iteration, and writes them into every checkpoint: after 100,000 iterations of twenty
    values that is 32 MB a step. The log files keep everything. With a window of ``'global'`` in the log processor's
    ``custom_cfg`` nothing is forgotten.

    Args:
        length (int): How many to keep; more where an epoch has more iterations. Defaults to 1000.
    """

    def __init__(self, length: int = 1000) -> None:
        self.length = length

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs: Optional[dict] = None) -> None:
        """Forget, now and then."""
        length = max(self.length, len(runner.train_dataloader))
        windows = [entry.get('window_size') for entry in runner.log_processor.custom_cfg]
        if not self.every_n_train_iters(runner, length) or 'global' in windows:
            return
        histories = runner.message_hub.log_scalars
        for name, history in histories.items():
            values, counts = history.data
            if len(values) > length:
                histories[name] = HistoryBuffer(values[-length:], counts[-length:])
