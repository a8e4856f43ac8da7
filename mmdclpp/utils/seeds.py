"""One figure measured over several seeds."""

import statistics
from typing import List, NamedTuple, Optional, Sequence


class OverSeeds(NamedTuple):
    """Mean and standard deviation; as text, ``31.2 ± 0.4``, or ``31.2`` of a single seed.

    Attributes:
        mean (float): The arithmetic mean.
        deviation (float, optional): The sample's standard deviation, with ``n - 1`` in the denominator; None of a
            single value, which has none.
    """

    mean: float
    deviation: Optional[float]

    @classmethod
    def of(cls, values: Sequence[float]) -> 'OverSeeds':
        """Summarise one or more finite values."""
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)

    def __str__(self) -> str:
        return format(self, '.1f')

    def __format__(self, spec: str) -> str:
        numbers = (self.mean, self.deviation)
        return ' ± '.join(format(number, spec or '.1f') for number in numbers if number is not None)


def which_are_best(figures: Sequence[Optional[OverSeeds]]) -> List[bool]:
    """Tell which have the highest mean as printed, so that of means that look equal all or none are best.

    Args:
        figures (Sequence[OverSeeds]): None stands for what was not measured.

    Returns:
        List[bool]: One for each. None is best where all are equal.
    """
    means = [None if figure is None else round(figure.mean, 1) for figure in figures]
    measured = [mean for mean in means if mean is not None]
    return [mean is not None and min(measured) < mean == max(measured) for mean in means]
