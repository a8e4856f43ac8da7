"""A linear probe and k-NN on aggregated features during pretraining."""

from typing import Dict, Optional, Sequence

import torch
from mmengine.structures import BaseDataElement
from torch import nn

from mmdclpp.engine.online_evaluation_hook import Labelled, OnlineEvaluationHook
from mmdclpp.errors import UserError
from mmdclpp.evaluation.knn import knn_scores
from mmdclpp.evaluation.linear_fit import fit_linear
from mmdclpp.evaluation.multi_label import multi_label_figures
from mmdclpp.models.backbones.features import BackboneFeatures, check_aggregate
from mmdclpp.registry import HOOKS

# Within half a point of mAP of the best of 0.01 to 3, for the demo's ViT on small photographs (VOC2007, COCO) and,
# early and late in pretraining, on the built-in scenes.
LEARNING_RATE_PER_CLASS = 0.3


@HOOKS.register_module()
class OnlineMultiLabelHook(OnlineEvaluationHook):
    """Classify images by the backbone's aggregated features: linearly, and by their nearest neighbours.

    Logs ``linear_mAP`` and ``knn_mAP``, in percent, of the same features, extracted once. The classifiers are
    :func:`~mmdclpp.evaluation.fit_linear`, with one learning rate and without weight decay, so that a
    figure does not jump because another rate was chosen, and :func:`~mmdclpp.evaluation.knn_scores`.

    The data sets are multi-label, such as :class:`~mmdclpp.datasets.coco_multi_label.CocoMultiLabel`, with a
    pipeline that ends in ``PackInputs``.

    Args:
        aggregate (str, optional): ``'cls'`` or ``'gap'``. Defaults to None, what the model's neck aggregates by in
            pretraining, or ``'gap'``.
        kwargs: See :class:`OnlineEvaluationHook`.

    Raises:
        UserError: If ``aggregate`` is unknown; before training, if it is ``'cls'`` and the backbone has no class token.
    """

    name = 'multi_label'

    def __init__(self, *args, aggregate: Optional[str] = None, **kwargs) -> None:
        if aggregate is not None:
            check_aggregate(aggregate)
        super().__init__(*args, **kwargs)
        self.aggregate = aggregate

    def describe(self, model: nn.Module, features: BackboneFeatures, samples: Sequence[BaseDataElement]) -> Labelled:
        if any('gt_score' not in sample for sample in samples):
            raise UserError(
                "OnlineMultiLabelHook: the images have no 'gt_score': use a multi-label data set such as "
                'CocoMultiLabel, whose pipeline ends in PackInputs'
            )
        kind = self.aggregate or getattr(getattr(model, 'neck', None), 'aggregate', 'gap')
        return Labelled(features.aggregate(kind), torch.stack([sample.gt_score for sample in samples]))

    def measure(self, train: Labelled, val: Labelled, device: torch.device) -> Dict[str, float]:
        learnt, asked = (train.features.to(device), train.labels.to(device)), val.features.to(device)
        rate = LEARNING_RATE_PER_CLASS * train.labels.shape[1]
        linear = fit_linear(*learnt, asked, learning_rates=[rate], weight_decays=[0.0], label='')
        scores = dict(linear=linear.scores, knn=knn_scores(*learnt, asked))
        targets = val.labels.numpy()
        return {
            f'{name}_mAP': multi_label_figures(values.cpu().numpy(), targets)['mAP'] for name, values in scores.items()
        }
