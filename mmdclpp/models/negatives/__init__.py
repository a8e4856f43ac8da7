"""The negative samplers of :mod:`mmdclpp.core`, registered: a config lists them."""

import inspect
from typing import List, Sequence

from mmdclpp.core import (
    AllNegatives,
    CrossViewNegatives,
    GlobalNegatives,
    GuidedNegatives,
    NegativeSampler,
    RandomNegatives,
)
from mmdclpp.errors import UserError
from mmdclpp.registry import MODELS

__all__ = ['build_negatives']

for sampler in (AllNegatives, CrossViewNegatives, GlobalNegatives, GuidedNegatives, RandomNegatives):
    MODELS.register_module(module=sampler)


def build_negatives(configs: Sequence[dict]) -> List[NegativeSampler]:
    """Build the samplers of a config list.

    Args:
        configs (Sequence[dict]): Configs of samplers; built samplers pass through.

    Raises:
        UserError: If the list is empty, holds what is no sampler, or gives a sampler a key that it does not know.
    """
    if isinstance(configs, (dict, str)) or not configs:
        raise UserError(
            f"negatives={configs!r} must be a list of at least one sampler, such as [dict(type='RandomNegatives')]"
        )
    return [config if isinstance(config, NegativeSampler) else _build(config) for config in configs]


def _build(config: dict) -> NegativeSampler:
    kind = config.get('type') if isinstance(config, dict) else None
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    if not (inspect.isclass(kind) and issubclass(kind, NegativeSampler)):
        raise UserError(
            f'negatives: {config!r} is no sampler: use dict(type=...) with RandomNegatives, GuidedNegatives, '
            'CrossViewNegatives, GlobalNegatives, AllNegatives or a registered NegativeSampler of your own'
        )
    known = list(inspect.signature(kind).parameters)
    unknown = sorted(set(config) - {'type', *known})
    if unknown and 'threshold' in unknown:
        raise UserError(
            f'negatives: {kind.__name__} takes no threshold: β belongs to the score of guided sets, '
            "use dict(type='GuidedNegatives', threshold=...)"
        )
    if unknown:
        raise UserError(
            f'negatives: {kind.__name__} takes no {", ".join(unknown)}: it takes {", ".join(known) or "nothing"}'
        )
    return MODELS.build(config)
