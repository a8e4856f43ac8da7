"""What was measured of which method: the entries of ``results.json``, put together by method and evaluation.

``models`` are one entry a checkpoint, with its ``name``, ``arch``, ``aggregate``, ``pair_feature``, ``seed``,
``checkpoint``, ``fingerprint`` and ``evaluations``. The latter maps ``<data>-<kind>``, or ``<data>-<kind>@<protocol>``
for another protocol than the usual one, to ``protocol``, ``data``, ``seconds``, ``settings``, ``metrics`` and, where
there are any, ``per_class`` and ``sweep``. Figures are in percent; None and NaN stand for what could not be measured.
"""

import math
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

DATA = {'coco': 'COCO', 'voc': 'VOC', 'coco-stuff': 'COCO-Stuff', 'scenes': 'Scenes'}
# Kind -> its name, and the metrics that are summarised, of which the first is drawn.
_KINDS = {
    'linear': ('linear probe', ('mAP', 'OF1')),
    'knn': ('k-NN', ('mAP',)),
    'seg': ('segmentation', ('mIoU',)),
}
# The poster's order: classification begins with COCO, segmentation with VOC.
_ORDER = [('coco', 'linear'), ('voc', 'linear'), ('coco', 'knn'), ('voc', 'knn'), ('voc', 'seg'), ('coco', 'seg')]


class Key(NamedTuple):
    """The key of an evaluation, taken apart; ``protocol`` is empty for the usual one."""

    text: str
    data: str
    kind: str
    protocol: str

    @classmethod
    def of(cls, text: str) -> 'Key':
        """Take ``<data>-<kind>@<protocol>`` apart."""
        task, _, protocol = text.partition('@')
        data, _, kind = task.rpartition('-')
        return cls(text, data, kind, protocol)

    @property
    def metrics(self) -> Sequence[str]:
        """The metrics that are summarised, none of a kind that is not among the poster's and k-NN."""
        return _KINDS[self.kind][1] if self.kind in _KINDS else ()

    @property
    def title(self) -> str:
        """A heading: data, kind and protocol."""
        kind = _KINDS[self.kind][0] if self.kind in _KINDS else self.kind
        return self._with_protocol(f'{DATA.get(self.data, self.data)}, {kind}')

    def column(self, metric: str) -> str:
        """The header of a metric's column."""
        kind = 'k-NN ' if self.kind == 'knn' else ''
        return self._with_protocol(f'{DATA.get(self.data, self.data)} {kind}{metric}')

    def _with_protocol(self, text: str) -> str:
        return f'{text} ({self.protocol})' if self.protocol else text


class Method(NamedTuple):
    """A row of the tables: the seeds of one method.

    Attributes:
        name (str): What tells it from the others together with ``arch``, ``aggregate`` and ``pair_feature``.
        label (str): What does so alone.
        arch (str): The backbone.
        aggregate (str): ``'CLS'`` or ``'GAP'``.
        pair_feature (str, optional): None of methods without.
        models (List[Mapping]): The entry of each seed.
    """

    name: str
    label: str
    arch: str
    aggregate: str
    pair_feature: Optional[str]
    models: List[Mapping]

    def runs(self, key: Key) -> List[Mapping]:
        """The evaluation of each seed that has it."""
        return [model['evaluations'][key.text] for model in self.models if key.text in model['evaluations']]

    def values(self, key: Key, metric: str) -> List[float]:
        """A metric over the seeds that have it."""
        return _measured(run['metrics'].get(metric) for run in self.runs(key))

    def class_values(self, key: Key, name: str, figure: str) -> List[float]:
        """A figure of one class over the seeds that have it."""
        return _measured(entry.get(figure) for entry in self.class_entries(key) if entry['class'] == name)

    def class_entries(self, key: Key) -> List[Mapping]:
        """The figures of every class and seed."""
        return [entry for run in self.runs(key) for entry in run.get('per_class', ())]


def methods_of(models: Sequence[Mapping]) -> List[Method]:
    """Put the seeds of each method together.

    Checkpoints of equal name, arch, aggregate and pair feature are seeds of one method if all have one recipe (config
    and length of pretraining) and no two share a seed or the weights: others stand alone, named after their files. An
    unknown recipe (None) is shared with no other.

    Args:
        models (Sequence[Mapping]): See the module.

    Returns:
        List[Method]: In the order in which each first occurs.
    """
    groups: Dict[Tuple, List[Mapping]] = {}
    for model in models:
        identity = (model['name'], model['arch'], model['aggregate'].upper(), model['pair_feature'])
        groups.setdefault(identity, []).append(model)
    methods = []
    for (name, *rest), group in groups.items():
        namesakes = [identity[1:] for identity in groups if identity[0] == name]
        differing = [value for value, others in zip(rest, zip(*namesakes)) if value and len(set(others)) > 1]
        if _are_seeds(group):
            methods.append(Method(name, _in_brackets(name, differing), *rest, group))
        else:
            for model in group:
                file = [str(model['checkpoint'] or model['fingerprint'][:8])]
                labels = _in_brackets(name, file), _in_brackets(name, differing + file)
                methods.append(Method(*labels, *rest, [model]))
    return methods


def keys_of(models: Iterable[Mapping]) -> List[Key]:
    """The keys of all evaluations, in the order of the tables."""
    keys = (Key.of(text) for text in dict.fromkeys(text for model in models for text in model['evaluations']))
    order = {pair: place for place, pair in enumerate(_ORDER)}
    return sorted(keys, key=lambda key: (order.get((key.data, key.kind), len(order)), key.protocol))


def _are_seeds(group: Sequence[Mapping]) -> bool:
    """Whether they differ in the seed alone: two epochs of one run, or two recipes, have no standard deviation."""
    recipes = {model.get('recipe', '') for model in group}
    if len(group) > 1 and (len(recipes) > 1 or None in recipes):
        return False
    known = ([model[field] for model in group if model[field] is not None] for field in ('seed', 'fingerprint'))
    return all(len(values) == len(set(values)) for values in known)


def _in_brackets(name: str, parts: Sequence[str]) -> str:
    return f'{name} ({", ".join(parts)})' if parts else name


def _measured(values: Iterable[Optional[float]]) -> List[float]:
    return [value for value in values if value is not None and math.isfinite(value)]
