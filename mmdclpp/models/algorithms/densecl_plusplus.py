"""DenseCL++ as an mmpretrain self-supervised algorithm."""

import math
from typing import Dict, List, Optional

import torch
from mmengine.logging import MessageHub
from mmpretrain.models.selfsup import BaseSelfSupervisor
from mmpretrain.structures import DataSample
from torch import Tensor

from mmdclpp.core import Draws, InfoNCE, mean_over_processes, reconstruction_loss
from mmdclpp.errors import UserError
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.models.data_preprocessors import require_finishing
from mmdclpp.registry import MODELS


@MODELS.register_module()
class DenseCLPlusPlus(BaseSelfSupervisor):
    """``L = (1 - λ)·L_global + λ·L_dense + γ·L_reconstruction`` (arXiv 2210.05063).

    One class for a family: ``loss_lambda=0`` is SimCLR, ``GlobalNegatives`` in the dense head is DenseCL
    with in-batch negatives, ``RandomNegatives`` is DenseCL++. They differ in nothing else.

    Args:
        backbone (dict): Any backbone that :func:`~mmdclpp.models.backbones.features.extract_features`
            understands.
        neck (dict): Config of :class:`DenseCLPlusPlusNeck`. A projector whose loss has no weight is not built.
        head (dict): Head of the global loss. Defaults to ``dict(type='GlobalInfoNCEHead')``.
        dense_head (dict): Head of the dense loss. Defaults to ``dict(type='DenseInfoNCEHead')``.
        loss_lambda (float): Weight ``λ`` of the dense loss, in [0, 1]. Defaults to 0.5.
        decoder (dict, optional): Config of a :class:`Decoder` of the backbone's positions, without ``in_channels``,
            which are the neck's. It is not built with a ``loss_gamma`` of 0. Defaults to None,
            ``dict(type='ConvDecoder')``.
        loss_gamma (float): Weight ``γ`` of reconstructing the views, 0 or more. Defaults to 0.
        data_preprocessor (dict, optional): Its type defaults to ``ViewDataPreprocessor``. Defaults to None, no
            normalisation.
        init_cfg (dict, optional): Initialisation of the weights. Defaults to None.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: Optional[dict] = None,
        dense_head: Optional[dict] = None,
        loss_lambda: float = 0.5,
        decoder: Optional[dict] = None,
        loss_gamma: float = 0.0,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        if not (isinstance(loss_lambda, (int, float)) and 0 <= loss_lambda <= 1):
            raise UserError(f'loss_lambda={loss_lambda!r} must lie in [0, 1]: 0 is SimCLR, 1 the dense loss alone')
        if not (isinstance(loss_gamma, (int, float)) and 0 <= loss_gamma < math.inf):
            raise UserError(f'loss_gamma={loss_gamma!r} must be a finite number of 0 or more: 0 reconstructs nothing')
        neck = dict(neck)
        # A projector that no loss reaches would stop distributed training: its gradient never comes.
        if loss_lambda == 1:
            neck['global_projector'] = None
        if loss_lambda == 0:
            neck['dense_projector'] = None
        # Built here, because mmpretrain's registry does not see the parts of its children.
        parts = (backbone, neck, head or dict(type='GlobalInfoNCEHead'))
        preprocessor = MODELS.build({'type': 'ViewDataPreprocessor', **(data_preprocessor or {})})
        super().__init__(*map(MODELS.build, parts), data_preprocessor=preprocessor, init_cfg=init_cfg)
        self.dense_head = MODELS.build(dense_head or dict(type='DenseInfoNCEHead'))
        self.loss_lambda = loss_lambda
        self.loss_gamma = loss_gamma
        # Last, so that with any γ the other parts draw the same initial weights.
        self.decoder = None
        if loss_gamma > 0:
            decoder = decoder or dict(type='ConvDecoder')
            self.decoder = MODELS.build({'in_channels': self.neck.in_channels, **decoder})
        self._iteration = -1
        self._runner_iteration: Optional[int] = None

    def loss(
        self, inputs: List[Tensor], data_samples: Optional[List[DataSample]] = None, **kwargs
    ) -> Dict[str, Tensor]:
        """Losses and statistics of one batch.

        Args:
            inputs (List[Tensor]): The two views of the images, each of shape ``(B, 3, H, W)``.
            data_samples (List[DataSample], optional): Not used.

        Returns:
            Dict[str, Tensor]: ``loss_global``, ``loss_dense`` and ``loss_reconstruction``, weighted, which add up to
            the loss; and for logging, averaged over processes: ``reconstruction_error`` (unweighted loss), and of
            the contrastive parts each ``*_nce`` (unweighted loss), ``*_chance`` (its value for features that tell
            nothing apart), ``*_pos_sim``, ``*_neg_sim``, ``*_negatives``. What has no weight is not there.
        """
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise UserError(
                "DenseCLPlusPlus needs two views an image: use dict(type='LoadViews', num_views=2, ...)"
                ' in the train pipeline'
            )
        if data_samples and 'view_photometric' in data_samples[0]:
            require_finishing(self.data_preprocessor)
        images = torch.cat(inputs)
        features = extract_features(self.backbone, images)
        projections = self.neck(features)
        losses, statistics = {}, {}
        if projections.global_projections is not None:
            part = self.head.loss(projections.global_projections)
            losses['loss_global'] = (1 - self.loss_lambda) * part.loss
            statistics.update(_statistics('global', part))
        if projections.dense_projections is not None:
            part = self.dense_head.loss(projections.dense_projections, projections.positions, self._draws())
            losses['loss_dense'] = self.loss_lambda * part.loss
            statistics.update(_statistics('dense', part))
        if self.decoder is not None:
            error = reconstruction_loss(self.decoder(features, images.shape[2:]), images)
            losses['loss_reconstruction'] = self.loss_gamma * error
            statistics['reconstruction_error'] = error.detach()
        values = mean_over_processes(torch.stack(list(statistics.values())))
        return {**losses, **dict(zip(statistics, values, strict=True))}

    def _draws(self) -> Draws:
        """Draws for the runner's seed and iteration, so that a resumed run draws as an uninterrupted one."""
        hub = MessageHub.get_current_instance()
        iteration = hub.get_info('iter')
        if iteration is None or iteration == self._runner_iteration:  # no runner, or one that ended
            self._iteration += 1
        else:
            self._iteration = self._runner_iteration = iteration
        return Draws(hub.get_info('seed') or 0, self._iteration)


def _statistics(name: str, part: InfoNCE) -> Dict[str, Tensor]:
    # No key may hold the word "loss": mmengine adds those up.
    return {
        f'{name}_nce': part.loss.detach(),
        f'{name}_chance': part.chance,
        f'{name}_pos_sim': part.positive_similarity,
        f'{name}_neg_sim': part.negative_similarity,
        f'{name}_negatives': part.num_negatives,
    }
