"""What came of a run: all that a report knows of it."""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from mmdclpp.apis.studies.definitions import Setting


class Outcome(NamedTuple):
    """One training of a setting, with one seed.

    Attributes:
        setting (Setting): What was trained.
        seed (int): The seed of pretraining.
        status (str): ``'done'``, ``'failed'`` or ``'unfinished'``.
        folder (str): Where its files lie.
        evaluations (Mapping): As in ``results.json`` of :func:`mmdclpp.apis.evaluate`: ``<data>-<kind>[@<protocol>]``
            to a mapping with ``metrics`` (in percent), ``settings``, ``protocol``, ``data`` and ``seconds``.
        model (Mapping): The rest of the model's entry there (``name``, ``arch``, ``aggregate``, ``pair_feature`` …).
        similarities (Mapping, optional): What ``tools/diagnose.py`` found. None unless the study asks for it.
        commit (str): Of the code that trained it.
        seconds (float): That all its steps took.
        error (str): What a failed step said last, and where its log is. '' of others.
        config (str): Text of its config.
    """

    setting: Setting
    seed: int
    status: str
    folder: str
    evaluations: Mapping[str, Mapping[str, Any]]
    model: Mapping[str, Any]
    similarities: Optional[Mapping[str, Any]]
    commit: str
    seconds: float
    error: str
    config: str

    def value(self, key: str, metric: str) -> Optional[float]:
        """A figure in percent, None where it was not measured."""
        return self.evaluations.get(key, {}).get('metrics', {}).get(metric)


def by_setting(outcomes: Sequence[Outcome]) -> Dict[str, List[Outcome]]:
    """The outcomes of each setting, by its name, in the order of the study."""
    groups: Dict[str, List[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.setting.name, []).append(outcome)
    return groups
