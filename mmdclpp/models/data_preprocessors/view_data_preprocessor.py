"""The second half of augmentation, for whole batches on the model's device."""

from typing import Optional, Sequence, Tuple

import numpy as np
import torch
from mmpretrain.models import SelfSupDataPreprocessor
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmdclpp.core.photometric import UNCHANGED, Photometric, change_photometry
from mmdclpp.errors import UserError
from mmdclpp.registry import MODELS


@MODELS.register_module()
class ViewDataPreprocessor(SelfSupDataPreprocessor):
    """mmpretrain's ``SelfSupDataPreprocessor``, which also does what :class:`~mmdclpp.datasets.LoadViews` left to do.

    Views whose samples have ``view_photometric`` arrive as uint8 and are jittered, greyed, blurred and solarised as it
    says, each image by its own parameters, then normalised. Others are only normalised. The arguments are
    mmpretrain's.

    Attributes:
        compiled (bool): Whether the jitter is compiled on GPUs, as ``compile`` of a config has it.
    """

    compiled = False

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch.

        Args:
            data (dict): ``inputs``, the views, each uint8 of shape ``(B, 3, H, W)``, and ``data_samples``.
            training (bool): Not used.

        Returns:
            dict: ``inputs``, float32 of the same shapes, and ``data_samples``.
        """
        rows = _photometric(data.get('data_samples') or (), len(data['inputs']))
        if rows is None:
            return super().forward(data, training)
        data = self.cast_data(data)
        views = [
            self._prepare(images, Photometric.of_rows(rows[:, view])) for view, images in enumerate(data['inputs'])
        ]
        return {**data, 'inputs': views}

    @torch.no_grad()
    def _prepare(self, images: Tensor, parameters: Photometric) -> Tensor:
        prepared = torch.empty(images.shape, device=images.device)
        # On a CPU image by image, in one place of memory that stays in the core's cache.
        step = 1 if images.device.type == 'cpu' else len(images)
        work = torch.empty_like(prepared[:step])
        scale, shift = self._normalisation()
        for start in range(0, len(images), step):
            part = slice(start, start + step)
            work.copy_(images[part].flip(1)).mul_(1 / 255)
            change_photometry(work, Photometric(*(values[part] for values in parameters)), self.compiled)
            channels = work if self._channel_conversion else work.flip(1)
            torch.add(channels.mul_(scale), shift, out=prepared[part])
        return prepared

    def _normalisation(self) -> Tuple[Tensor, Tensor]:
        """Factor and summand of values in [0, 1]."""
        if not self._enable_normalize:
            return torch.tensor(255.0, device=self.device), torch.tensor(0.0, device=self.device)
        return 255 / self.std, -self.mean / self.std


def require_finishing(data_preprocessor: nn.Module) -> None:
    """Raise a UserError unless what LoadViews left to do will be done: training would go on, and be wrong."""
    if not isinstance(data_preprocessor, ViewDataPreprocessor):
        raise UserError(
            f'model.data_preprocessor: {type(data_preprocessor).__name__} does not jitter and blur the views of '
            "LoadViews: use ViewDataPreprocessor, or LoadViews(backend='mmpretrain')"
        )


def _photometric(samples: Sequence[DataSample], num_views: int) -> Optional[np.ndarray]:
    """Parameters of all images, shape ``(B, num_views, 8)``; None if their pipelines left nothing to do."""
    if not any('view_photometric' in sample for sample in samples):
        return None
    finished = [UNCHANGED] * num_views  # by mmpretrain's transforms, in another of the data sets that are joined
    return np.array([sample.get('view_photometric', finished) for sample in samples], np.float32)
