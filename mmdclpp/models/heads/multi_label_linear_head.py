"""A linear multi-label classifier with a mean loss."""

from typing import Dict, List, Tuple

import torch
from mmengine.dist import all_reduce
from mmpretrain.models import MultiLabelLinearClsHead
from mmpretrain.structures import DataSample, label_to_onehot
from torch import Tensor, nn

from mmdclpp.core.precision import full_precision
from mmdclpp.errors import UserError
from mmdclpp.registry import MODELS


@MODELS.register_module()
class MultiLabelLinearHead(MultiLabelLinearClsHead):
    """One linear layer, trained with the mean binary cross-entropy over images and classes.

    mmpretrain's head divides by the number of images only, which multiplies the
    loss, and so the learning rate, by the number of classes. Here a learning rate
    means the same for any number of classes. Target entries of -1 are ignored:
    they count in neither the loss nor its mean, and the mean runs over the images
    of all processes.

    Layer and loss compute in float32 under autocast, since half precision would
    leave ties between scores, which average precision counts.

    Args:
        num_classes (int): Number of classes.
        in_channels (int): Width of the feature.
        batch_norm (bool): Normalise the feature by a non-affine batch norm first,
            as MAE's linear probe does, so that the result does not depend on the
            scale of the feature. Defaults to True.
        kwargs: ``thr``, ``topk`` and ``init_cfg`` of mmpretrain's
            ``MultiLabelLinearClsHead``.

    Raises:
        UserError: In the first step, if the targets have another number of
            classes.
    """

    def __init__(self, num_classes: int, in_channels: int, batch_norm: bool = True, **kwargs):
        super().__init__(num_classes, in_channels, loss=nn.BCEWithLogitsLoss(reduction='none'), **kwargs)
        self.norm = nn.BatchNorm1d(in_channels, affine=False, eps=1e-6) if batch_norm else nn.Identity()

    def forward(self, feats: Tuple[Tensor]) -> Tensor:
        """The logits, shape ``(B, num_classes)``, of the last of ``feats``, shape ``(B, in_channels)``."""
        with full_precision(self.pre_logits(feats)) as (feature,):
            return self.fc(self.norm(feature))

    def _get_loss(self, cls_score: Tensor, data_samples: List[DataSample]) -> Dict[str, Tensor]:
        target = torch.stack([self._target(sample) for sample in data_samples]).to(cls_score)
        if target.shape != cls_score.shape:
            raise UserError(
                f'model.head.num_classes={self.num_classes}, but the data set has {target.shape[1]} classes: set '
                f'model.head.num_classes={target.shape[1]}'
            )
        labelled = target >= 0
        total = (self.loss_module(cls_score, target.clamp(min=0)) * labelled).sum()
        # DDP averages over processes what each gives, so the mean count makes this the mean over all of them.
        count = labelled.sum().to(total)
        all_reduce(count, op='mean')
        return dict(loss=total / count.clamp(min=1))

    def _target(self, sample: DataSample) -> Tensor:
        return sample.gt_score if 'gt_score' in sample else label_to_onehot(sample.gt_label, self.num_classes)
