"""Pictures of a model's reconstructions while it is being trained."""

from typing import Dict, Optional

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdclpp.engine.unwrapped import unwrapped
from mmdclpp.errors import UserError
from mmdclpp.evaluation.feature_batches import eval_mode
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.registry import HOOKS
from mmdclpp.utils.random_states import random_states_kept
from mmdclpp.visualization.inputs import input_to_rgb
from mmdclpp.visualization.reconstructions import reconstruction_pairs


@HOOKS.register_module()
class ReconstructionHook(Hook):
    """Log how a model reconstructs some of its training images, as ``view | reconstruction`` for both views.

    All visualisation backends get the picture, the local one as ``vis_data/vis_image/reconstruction_{iteration}.png``.
    The views are drawn once, alike in every run on the same data, so that pictures of different iterations and runs
    can be compared. Training goes on as if nothing had been: no gradient, batch statistic, mode or random state
    changes. The main process alone loads and draws.

    Args:
        interval (int): Epochs from one picture to the next; the last epoch always gives one. Defaults to 1.
        num_images (int): Images, evenly spaced in the training data set. Defaults to 4.
        by_epoch (bool): Whether ``interval`` counts epochs; otherwise it counts iterations. Defaults to True.

    Raises:
        UserError: If a number is below 1; before training, if the model has no decoder.
    """

    priority = 'LOWEST'  # after the checkpoint

    def __init__(self, interval: int = 1, num_images: int = 4, by_epoch: bool = True) -> None:
        for key, value in dict(interval=interval, num_images=num_images).items():
            if not (isinstance(value, int) and value >= 1):
                raise UserError(f'ReconstructionHook: {key}={value!r} must be a whole number of 1 or more')
        self.interval = interval
        self.num_images = num_images
        self.by_epoch = by_epoch

    def before_train(self, runner: Runner) -> None:
        """Load the images."""
        model = unwrapped(runner)
        if getattr(model, 'decoder', None) is None:
            raise UserError(
                'ReconstructionHook: the model has no decoder: set model.loss_gamma above 0, or leave the hook out'
            )
        if not is_main_process():
            return
        loader = runner.train_dataloader
        number = min(self.num_images, len(loader.dataset))
        indices = [len(loader.dataset) * index // number for index in range(number)]
        with random_states_kept(seeds=(0, 0, 0)):
            batch = loader.collate_fn([loader.dataset[index] for index in indices])
        views = model.data_preprocessor(batch, True)['inputs']
        self._images = torch.stack(views, dim=1).flatten(0, 1)  # the views of an image side by side

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs: Optional[dict] = None) -> None:
        """Log a picture, if iterations count and it is time."""
        if not self.by_epoch and (self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)):
            self._log(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Runner, metrics: Optional[Dict[str, float]] = None) -> None:
        """Log a picture, if epochs count and it is time."""
        if self.by_epoch and (self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)):
            self._log(runner, runner.iter)

    def _log(self, runner: Runner, step: int) -> None:
        if not is_main_process():
            return
        model = unwrapped(runner)
        with eval_mode(model), torch.no_grad():
            features = extract_features(model.backbone, self._images)
            reconstructions = model.decoder(features, self._images.shape[2:])
        pictures = (input_to_rgb(images, model.data_preprocessor) for images in (self._images, reconstructions))
        runner.visualizer.add_image('reconstruction', reconstruction_pairs(*pictures), step)
