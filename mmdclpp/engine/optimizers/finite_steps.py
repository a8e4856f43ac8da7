"""mmengine's optimizer wrappers, which leave out updates by gradients that are not finite."""

from contextlib import contextmanager, nullcontext
from typing import Iterator, List, NamedTuple, Optional

import torch
from mmengine.optim import AmpOptimWrapper as AmpBase
from mmengine.optim import OptimWrapper as Base
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grads_with_norm_

from mmdclpp.registry import OPTIM_WRAPPERS

_NO_SCALER = torch.amp.GradScaler(enabled=False)


class GradientNorms(NamedTuple):
    """The Euclidean norms of the gradients of one update.

    Attributes:
        parameters (List[Parameter]): The ``P`` parameters that have a gradient.
        each (Tensor): Their norms, of shape ``(P,)``, before clipping; not finite if an entry is not.
        total (Tensor): Norm of all, without a dimension.
    """

    parameters: List[nn.Parameter]
    each: Tensor
    total: Tensor


class FiniteSteps:
    """Mixed into an optimizer wrapper, leaves updates out whose gradients are not finite.

    Weights, state of the optimizer and its count of steps stay as they were. A loss that is not finite makes all
    gradients so, and averaging brings that to all processes: they decide alike without asking each other, after
    accumulation too.

    A fused optimizer (``optimizer=dict(..., fused=True)``) decides on the device; with any other, the processor waits
    for the gradients, as it does for clipping and for the loss scale of float16.

    Attributes:
        guarded (bool): Whether to do so. FiniteHook switches it on, and tells what was left out. Without it, the
            wrapper does as mmengine's.
        norms (GradientNorms, optional): Of the last update, made or not, for the hook to take.
    """

    guarded = False
    norms: Optional[GradientNorms] = None

    @property
    def loss_scale(self) -> Optional[float]:
        """The factor that keeps float16's gradients from vanishing; None if there is none."""
        return self._scaler.get_scale() if self._scaler.is_enabled() else None

    @property
    def searches_scale(self) -> bool:
        """Whether the loss scale is found by trying, where gradients that overflow are nothing unusual."""
        return self._scaler.is_enabled() and self._fixed_scale is None

    @property
    def _scaler(self) -> torch.amp.GradScaler:
        return getattr(self, 'loss_scaler', _NO_SCALER)

    @property
    def _fixed_scale(self) -> Optional[float]:
        return getattr(self, '_scale_update_param', None)

    def scale_loss(self, loss: Tensor) -> Tensor:
        """Divide by the number of batches of an update, as mmengine does."""
        if self.guarded:
            value = loss.detach()
            loss = loss * (1 + (value - value))  # times 1, or NaN
        return super().scale_loss(loss)

    def step(self, **kwargs) -> None:
        """Update the parameters, unless a gradient is not finite.

        Args:
            kwargs: Of the optimizer's ``step``.
        """
        if not self.guarded:
            super().step(**kwargs)
            return
        self._scaler.unscale_(self.optimizer)
        self.norms = _norms(self.optimizer)
        finite = torch.isfinite(self.norms.total)
        # SGD's fused kernel would leave its momentum uninitialised, were the very first update left out.
        on_device = getattr(self.optimizer, '_step_supports_amp_scaling', False) and len(self.optimizer.state) > 0
        if self.clip_grad_kwargs:
            self._clip_grad()
        if on_device or finite:
            with _told(self.optimizer, ~finite) if on_device and not self._scaler.is_enabled() else nullcontext():
                self._scaler.step(self.optimizer, **kwargs)
        self._scaler.update(self._fixed_scale)

    def _clip_grad(self) -> None:
        options = dict(self.clip_grad_kwargs)
        if not (self.guarded and self.clip_func is clip_grad_norm_ and options.pop('norm_type', 2) == 2):
            super()._clip_grad()
            return
        options.pop('error_if_nonfinite', None)
        clip_grads_with_norm_(self.norms.parameters, total_norm=self.norms.total, **options)
        self.message_hub.update_scalar(f'train/{self.grad_name}', float(self.norms.total))


@contextmanager
def _told(optimizer: torch.optim.Optimizer, skip: Tensor) -> Iterator[None]:
    """Tell a fused optimizer whether to do nothing, as GradScaler does."""
    optimizer.grad_scale, optimizer.found_inf = None, skip.float()
    try:
        yield
    finally:
        del optimizer.grad_scale, optimizer.found_inf


def _norms(optimizer: torch.optim.Optimizer) -> GradientNorms:
    groups = optimizer.param_groups
    parameters = [parameter for group in groups for parameter in group['params'] if parameter.grad is not None]
    if not parameters:
        return GradientNorms([], torch.zeros(0), torch.zeros(()))
    each = torch.stack(torch._foreach_norm([parameter.grad for parameter in parameters]))
    return GradientNorms(parameters, each, torch.linalg.vector_norm(each))


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(FiniteSteps, Base):
    """mmengine's wrapper of the same name, with the same arguments, guarded by :class:`FiniteSteps`."""


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(FiniteSteps, AmpBase):
    """mmengine's wrapper of the same name, with the same arguments, guarded by :class:`FiniteSteps`."""
