"""What was measured of a study, row by row."""

import math
from collections import Counter
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

from mmdclpp.apis.evaluation.methods import Key, keys_of
from mmdclpp.apis.studies.budgets import Budget
from mmdclpp.apis.studies.definitions import Setting, Study
from mmdclpp.apis.studies.outcome import Outcome, by_setting


class Row(NamedTuple):
    """A setting, and its trainings."""

    setting: Setting
    outcomes: List[Outcome]

    def values(self, key: Key, metric: str) -> List[float]:
        """A figure in percent over the seeds that have it."""
        values = (outcome.value(key.text, metric) for outcome in self.outcomes)
        return [value for value in values if value is not None and math.isfinite(value)]

    def similarities(self, features: str, kind: str) -> List[float]:
        """Mean similarities of a kind, over the seeds that have them; see :meth:`diagnosed`."""
        return [found[kind] for found in self.diagnosed(features) if found[kind] is not None]

    def diagnosed(self, features: str) -> List[Mapping[str, Any]]:
        """What :func:`mmdclpp.apis.diagnose` found of features, ``'backbone'`` or ``'projection'``, of each seed."""
        found = [outcome.similarities for outcome in self.outcomes if outcome.similarities]
        if features == 'projection':
            found = [entry['projection'] for entry in found]
        return [entry for entry in found if 'densities' in entry]

    def factor(self, name: str) -> Any:
        """What the study varies here."""
        return self.setting.factors[name]


class Measured(NamedTuple):
    """A study, what was to be measured, and what was.

    Attributes:
        study (Study): The question.
        budget (Budget): Its size.
        rows (List[Row]): Every setting of the study, in its order.
        keys (List[Key]): The evaluations that any training has, the budget's headline first.
        planned (int): Trainings of each setting.
    """

    study: Study
    budget: Budget
    rows: List[Row]
    keys: List[Key]
    planned: int

    @classmethod
    def of(cls, study: Study, budget: Budget, outcomes: Sequence[Outcome]) -> 'Measured':
        """Put the outcomes of each setting together."""
        found = by_setting(outcomes)
        rows = [Row(setting, found.get(setting.name, [])) for setting in study.settings(budget)]
        keys = keys_of({'evaluations': outcome.evaluations} for outcome in outcomes)
        keys.sort(key=lambda key: key.text != budget.headline)
        planned = max((len(row.outcomes) for row in rows), default=0)
        return cls(study, budget, rows, keys, planned)

    @property
    def outcomes(self) -> List[Outcome]:
        """All trainings, setting by setting."""
        return [outcome for row in self.rows for outcome in row.outcomes]

    @property
    def factors(self) -> List[str]:
        """What the study varies."""
        return list(self.rows[0].setting.factors)

    def levels(self, factor: str) -> Dict[Any, int]:
        """The values of a factor, in the order of the study, and how many settings have each."""
        return dict(Counter(row.factor(factor) for row in self.rows))

    @property
    def classified(self) -> List[Key]:
        """The evaluations of multi-label classification."""
        return [key for key in self.keys if key.kind in ('linear', 'knn')]

    @property
    def segmented(self) -> List[Key]:
        """The evaluations of segmentation."""
        return [key for key in self.keys if key.kind == 'seg']
