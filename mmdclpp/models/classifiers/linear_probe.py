"""A linear classifier on frozen features."""

from typing import Dict, List, Optional, Tuple

import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor

from mmdclpp.models.backbones.features import check_aggregate, extract_features
from mmdclpp.registry import MODELS


@MODELS.register_module()
class LinearProbe(ImageClassifier):
    """Train a head on the aggregated features of a frozen backbone.

    The backbone, whatever its type, gets no gradient and stays in eval mode, batch
    statistics included. Its weights come from ``init_cfg``, see
    :class:`~mmdclpp.models.backbones.pretrained.Pretrained`.

    Args:
        backbone (dict): The backbone, one that
            :func:`~mmdclpp.models.backbones.features.extract_features` understands.
        head (dict): The head; it is given ``(feature,)``, shape ``(B, C)``.
        aggregate (str): ``'cls'`` or ``'gap'``, as in pretraining. Defaults to
            'gap'.
        cache_features (bool): Keep the feature of each image, by its path, and
            skip the backbone when the image comes again. Use it only where the
            pipeline does not augment: a second crop would be given the feature
            of the first. Training and evaluation are kept apart. Defaults to
            False.
        data_preprocessor (dict, optional): See ``ImageClassifier``. Defaults to
            None.
        init_cfg (dict, optional): Initialisation. Defaults to None.

    Raises:
        UserError: If ``aggregate`` is unknown; in the first step, if it is
            ``'cls'`` and the backbone has no class token.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        aggregate: str = 'gap',
        cache_features: bool = False,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ):
        check_aggregate(aggregate)
        # Built here, since mmpretrain's registry does not know our names unless the default scope is ours.
        super().__init__(
            MODELS.build(backbone), head=MODELS.build(head), data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )
        self.aggregate = aggregate
        self.cache_features = cache_features
        self._cache: Dict[Tuple[bool, str], Tensor] = {}
        self.backbone.requires_grad_(False)
        self.backbone.eval()

    def train(self, mode: bool = True) -> 'LinearProbe':
        super().train(mode)
        self.backbone.eval()
        return self

    @torch.no_grad()
    def extract_feat(self, inputs: Tensor) -> Tuple[Tensor]:
        """The aggregated feature of images ``(B, 3, H, W)``, as a tuple of one tensor ``(B, C)``."""
        return (extract_features(self.backbone, inputs).aggregate(self.aggregate),)

    def loss(self, inputs: Tensor, data_samples: List[DataSample]) -> Dict[str, Tensor]:
        return self.head.loss(self._features(inputs, data_samples), data_samples)

    def predict(self, inputs: Tensor, data_samples: Optional[List[DataSample]] = None, **kwargs) -> List[DataSample]:
        return self.head.predict(self._features(inputs, data_samples), data_samples, **kwargs)

    def _features(self, inputs: Tensor, data_samples: Optional[List[DataSample]]) -> Tuple[Tensor]:
        if not self.cache_features or data_samples is None:
            return self.extract_feat(inputs)
        keys = [(self.training, sample.img_path) for sample in data_samples]
        new = [index for index, key in enumerate(keys) if key not in self._cache]
        if new:
            self._cache.update(zip((keys[index] for index in new), self.extract_feat(inputs[new])[0]))
        return (torch.stack([self._cache[key] for key in keys]),)
