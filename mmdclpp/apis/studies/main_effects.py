"""What each factor of a grid of settings does by itself."""

import math
from functools import lru_cache
from statistics import NormalDist, fmean
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np


class Effect(NamedTuple):
    """What a factor does to a figure, averaged over the others.

    Attributes:
        levels (Dict[Any, List[float]]): The figures of the settings at each of its levels.
        span (float): Highest less lowest mean of a level.
        chance (float, optional): The span to expect of a factor without any effect. None if it cannot be told.
    """

    levels: Dict[Any, List[float]]
    span: float
    chance: Optional[float]


class MainEffects(NamedTuple):
    """The effects of all factors, and what they leave.

    Attributes:
        effects (Dict[str, Effect]): By factor.
        residual (float, optional): Standard deviation of a setting's figure about the sum of its factors' effects:
            chance, and what factors do together only. None with too few settings to tell.
    """

    effects: Dict[str, Effect]
    residual: Optional[float]


def main_effects(settings: Sequence[Mapping[str, Any]], figures: Sequence[float]) -> MainEffects:
    """Average a figure over the settings at each level of each factor, and compare with what chance would do.

    The residual is that of the least-squares fit of an additive model, with as many degrees of freedom as there are
    settings less parameters, so that it holds for grids with gaps too. The means of the levels are plain averages.

    Args:
        settings (Sequence[Mapping[str, Any]]): The level of each factor; all have the same factors.
        figures (Sequence[float]): The figure of each setting, one or more.

    Returns:
        MainEffects: Levels in the order in which each first occurs.
    """
    grouped: Dict[str, Dict[Any, List[float]]] = {}
    for setting, figure in zip(settings, figures):
        for factor, level in setting.items():
            grouped.setdefault(factor, {}).setdefault(level, []).append(figure)
    residual = _residual(settings, grouped, figures)
    effects = {}
    for factor, levels in grouped.items():
        means = [fmean(values) for values in levels.values()]
        chance = None
        if residual is not None:
            deviations = [residual / math.sqrt(len(values)) for values in levels.values()]
            chance = _mean_range(len(levels)) * math.sqrt(fmean(deviation**2 for deviation in deviations))
        effects[factor] = Effect(levels, max(means) - min(means), chance)
    return MainEffects(effects, residual)


def _residual(
    settings: Sequence[Mapping[str, Any]], grouped: Mapping[str, Mapping[Any, object]], figures: Sequence[float]
) -> Optional[float]:
    # A constant, and an indicator of each level but the first of a factor.
    indicators = [
        [float(setting[factor] == level) for setting in settings]
        for factor, levels in grouped.items()
        for level in list(levels)[1:]
    ]
    design = np.array([[1.0] * len(settings), *indicators]).T
    solution, _, rank, _ = np.linalg.lstsq(design, np.asarray(figures), rcond=None)
    freedom = len(settings) - int(rank)
    if freedom < 1:
        return None
    return math.sqrt(float(np.sum((np.asarray(figures) - design @ solution) ** 2)) / freedom)


@lru_cache
def _mean_range(count: int) -> float:
    """The mean of the range of ``count`` draws from the standard normal distribution (Tippett, 1925)."""
    step = 0.01
    below = np.array([NormalDist().cdf(step * index) for index in range(-800, 801)])
    return float(np.sum(1 - below**count - (1 - below) ** count) * step)
