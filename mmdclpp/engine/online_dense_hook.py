"""A linear probe of dense features during pretraining."""

from typing import Dict, Sequence

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmdclpp.engine.online_evaluation_hook import Labelled, OnlineEvaluationHook
from mmdclpp.errors import UserError
from mmdclpp.evaluation.dense_probe import IGNORED, fit_dense_probe, token_figures, token_labels
from mmdclpp.models.backbones.features import BackboneFeatures
from mmdclpp.registry import HOOKS


@HOOKS.register_module()
class OnlineDenseHook(OnlineEvaluationHook):
    """Classify the positions of a backbone linearly, by a data set with masks.

    Logs ``dense_accuracy`` and ``dense_mIoU`` over positions, in percent; ``mmdclpp.evaluation.dense_probe`` says
    how positions get their labels. They compare checkpoints of one run, and runs with as many positions; they are no
    mIoU of pixels.

    The data sets are mmseg's, ``_scope_='mmseg'`` with a pipeline that ends in ``PackSegInputs``, and ``classes`` in
    their ``metainfo``. Image and mask must have one geometry, so that ``LoadAnnotations`` stands before ``Resize`` or
    cropping in both.

    Memory: ``max_images`` × positions × channels × 4 bytes for each of the two data sets, on each process's CPU and
    once more on the first one's device. With 1,000 images of 224 px and a ViT-S/16 these are 300 MB; and the fit needs
    some 400 MB more, at 171 classes.

    Args:
        kwargs: See :class:`OnlineEvaluationHook`.
    """

    name = 'dense'

    def describe(self, model: nn.Module, features: BackboneFeatures, samples: Sequence[BaseDataElement]) -> Labelled:
        masks = torch.stack([_mask(sample) for sample in samples])
        labels = token_labels(masks, features.grid, self._num_classes()).flatten().to(features.positions.device)
        labelled = labels != IGNORED
        return Labelled(features.positions.flatten(0, 1)[labelled], labels[labelled])

    def measure(self, train: Labelled, val: Labelled, device: torch.device) -> Dict[str, float]:
        num_classes = self._num_classes()
        probe = fit_dense_probe(train.features.to(device), train.labels.to(device), num_classes)
        figures = token_figures(probe.predict(val.features.to(device)).cpu(), val.labels, num_classes)
        return {f'{self.name}_{key}': value for key, value in figures.items()}

    def _num_classes(self) -> int:
        classes = self.datasets['train'].metainfo.get('classes')
        if not classes:
            raise UserError(f'{type(self).__name__}: train does not name its classes: set them in its metainfo')
        return len(classes)


def _mask(sample: BaseDataElement) -> Tensor:
    """The mask of an image, shape ``(H, W)``."""
    if 'gt_sem_seg' not in sample:
        raise UserError(
            'OnlineDenseHook: the images have no mask: use a data set of mmseg whose pipeline has LoadAnnotations and '
            'ends in PackSegInputs'
        )
    mask = sample.gt_sem_seg.data[0]
    image = sample.metainfo.get('img_shape', mask.shape)[:2]
    if tuple(image) != tuple(mask.shape):
        raise UserError(
            f'OnlineDenseHook: an image has {tuple(image)} pixels and its mask {tuple(mask.shape)}: put '
            'LoadAnnotations before Resize in the pipeline'
        )
    return mask
