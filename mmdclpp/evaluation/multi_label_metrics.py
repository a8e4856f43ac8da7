"""Multi-label metrics for mmengine's evaluator."""

from typing import Dict, List, Sequence, Tuple

import numpy as np
from mmengine.evaluator import BaseMetric
from mmpretrain.structures import label_to_onehot
from numpy import ndarray

from mmdclpp.errors import UserError
from mmdclpp.evaluation.multi_label import check_protocol, multi_label_figures
from mmdclpp.registry import METRICS


@METRICS.register_module()
class MultiLabelMetrics(BaseMetric):
    """mAP, and precision, recall and F1 at a threshold and at top-k, in percent.

    The targets are each sample's ``gt_score`` (1, 0, or -1 for ignored entries) or
    ``gt_label``; the scores its ``pred_score``. The keys are ``multi-label/mAP``,
    and ``CP CR CF1 macro_F1 OP OR OF1`` at the threshold and, ending in
    ``_top{k}``, at top-k; with ``protocol='voc'`` also ``mAP_area``.
    :func:`~mmdclpp.evaluation.multi_label_figures` defines them.

    Args:
        threshold (float): A class is predicted from this score on. Defaults to 0.5.
        topk (int): And, for the second set, if it is among so many. Defaults to 3.
        classwise (bool): Report ``AP_{class}`` of every class too. Defaults to
            False.
        protocol (str): ``'coco'``, or ``'voc'`` for VOC2007's average precision over eleven points. Defaults to
            'coco'.
        collect_device (str): See ``BaseMetric``. Defaults to 'cpu'.
        prefix (str, optional): See ``BaseMetric``. Defaults to None, which gives
            'multi-label'.

    Raises:
        UserError: If the protocol is unknown; at evaluation, if there is no image or a score is not finite.
    """

    default_prefix = 'multi-label'

    def __init__(
        self, threshold: float = 0.5, topk: int = 3, classwise: bool = False, protocol: str = 'coco', **kwargs
    ):
        super().__init__(**kwargs)
        self.threshold = threshold
        self.topk = topk
        self.classwise = classwise
        self.protocol = check_protocol(protocol)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            score = sample['pred_score']
            target = sample['gt_score'] if 'gt_score' in sample else label_to_onehot(sample['gt_label'], len(score))
            self.results.append((score.float().cpu().numpy(), target.cpu().numpy().astype(np.int8)))

    def compute_metrics(self, results: List[Tuple[ndarray, ndarray]]) -> Dict[str, float]:
        if not results:
            raise UserError('there is no image to evaluate: check the annotation file of val_dataloader.dataset')
        scores, targets = (np.stack(column) for column in zip(*results))
        classes = None
        if self.classwise:
            classes = (self.dataset_meta or {}).get('classes') or range(scores.shape[1])
        return multi_label_figures(scores, targets, self.threshold, self.topk, classes, self.protocol)
