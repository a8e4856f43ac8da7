"""Multi-label metrics for mmengine's evaluator."""

from typing import Dict, List, Sequence, Tuple

import numpy as np
from mmengine.evaluator import BaseMetric
from mmpretrain.structures import label_to_onehot
from numpy import ndarray

from mmdclpp.evaluation.multi_label import average_precision, precision_recall_f1, predict_above, predict_top
from mmdclpp.registry import METRICS


@METRICS.register_module()
class MultiLabelMetrics(BaseMetric):
    """mAP, and precision, recall and F1 at a threshold and at top-k, in percent.

    The targets are each sample's ``gt_score`` (1, 0, or -1 for ignored entries) or
    ``gt_label``; the scores its ``pred_score``. The keys are ``multi-label/mAP``,
    and ``CP CR CF1 macro_F1 OP OR OF1`` at the threshold and, ending in
    ``_top{k}``, at top-k; :mod:`mmdclpp.evaluation.multi_label` defines them.
    mAP is the mean over the classes that have a positive image, and NaN if no class
    has one.

    Args:
        threshold (float): A class is predicted from this score on. Defaults to 0.5.
        topk (int): And, for the second set, if it is among so many. Defaults to 3.
        classwise (bool): Report ``AP_{class}`` of every class too. Defaults to
            False.
        collect_device (str): See ``BaseMetric``. Defaults to 'cpu'.
        prefix (str, optional): See ``BaseMetric``. Defaults to None, which gives
            'multi-label'.
    """

    default_prefix = 'multi-label'

    def __init__(self, threshold: float = 0.5, topk: int = 3, classwise: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.threshold = threshold
        self.topk = topk
        self.classwise = classwise

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            score = sample['pred_score']
            target = sample['gt_score'] if 'gt_score' in sample else label_to_onehot(sample['gt_label'], len(score))
            self.results.append((score.float().cpu().numpy(), target.cpu().numpy().astype(np.int8)))

    def compute_metrics(self, results: List[Tuple[ndarray, ndarray]]) -> Dict[str, float]:
        scores, targets = (np.stack(column) for column in zip(*results))
        precision = average_precision(scores, targets)
        measured = precision[~np.isnan(precision)]
        figures = dict(mAP=measured.mean() if len(measured) else np.nan)
        figures.update(precision_recall_f1(predict_above(scores, self.threshold), targets))
        at_top = precision_recall_f1(predict_top(scores, targets, self.topk), targets)
        figures.update({f'{name}_top{self.topk}': value for name, value in at_top.items()})
        if self.classwise:
            names = (self.dataset_meta or {}).get('classes') or range(len(precision))
            figures.update({f'AP_{name}': value for name, value in zip(names, precision)})
        return {name: 100 * float(value) for name, value in figures.items()}
