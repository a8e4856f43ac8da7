"""Made-up outcomes of studies."""

from typing import Any, Callable, Dict, List, Optional

import numpy as np

from mmdclpp.apis.studies.budgets import BUDGETS, Budget
from mmdclpp.apis.studies.definitions import STUDIES, Setting, Study
from mmdclpp.apis.studies.outcome import Outcome

SMALL, TINY = BUDGETS['small'], BUDGETS['tiny']


def outcome(setting: Setting, seed: int = 0, **metrics: Any) -> Outcome:
    """A training that is done; ``coco_linear=(mAP, OF1)`` or ``voc_seg=mIoU`` are its evaluations."""
    evaluations = {}
    for key, values in metrics.items():
        names = ('mIoU',) if key.endswith('seg') else ('mAP', 'OF1')
        found = dict(zip(names, np.atleast_1d(np.asarray(values, dtype=float)).tolist()))
        evaluations[key.replace('_', '-').replace('-at-', '@')] = dict(metrics=found, seconds=1.0)
    return Outcome(
        setting=setting,
        seed=seed,
        status='done',
        folder=f'runs/{setting.recipe.slug}/seed{seed}',
        evaluations=evaluations,
        model=dict(arch='ViT') if evaluations else {},
        similarities=None,
        commit='abc123',
        seconds=60.0,
        error='',
        config=f'_base_ = "base.py"  # {setting.name}',
    )


def failed(setting: Setting, seed: int = 0, error: str = 'killed') -> Outcome:
    """A training without a result."""
    return outcome(setting, seed)._replace(status='failed', error=error, commit='', seconds=0.0)


def outcomes(study: Study, budget: Budget, figure: Callable[[Setting, int], float], seeds: int = 1) -> List[Outcome]:
    """All trainings of a study, with the mAP of the budget's headline that ``figure`` gives a setting and a seed."""
    key = budget.headline.replace('-', '_').replace('@', '_at_')
    return [
        outcome(setting, seed, **{key: figure(setting, seed)})
        for seed in range(seeds)
        for setting in study.settings(budget)
    ]


def similarities(intra: float, inter: float, projection: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
    """What ``tools/diagnose.py`` writes of a model: every pair of a kind is in the bin of their mean."""
    bins = np.linspace(-1, 1, 21)
    means = {'intra': intra, 'cross_view': (intra + inter) / 2, 'inter': inter}
    densities = {kind: (np.histogram([mean], bins)[0] * 10.0).tolist() for kind, mean in means.items()}
    found = {'name': 'DenseCL++', **means, 'densities': {'bins': bins.tolist(), **densities}}
    return found if projection is None else {**found, 'projection': projection}


def all_kinds(name: str, budget: Budget = SMALL) -> List[Outcome]:
    """A study with everything that it can have: several evaluations, similarities, a run that failed."""
    rng = np.random.default_rng(0)
    found = []
    for seed in range(2):
        for setting in STUDIES[name].settings(budget):
            more = dict(voc_seg=rng.uniform(5, 9)) if STUDIES[name].segmentation else {}
            done = outcome(setting, seed, coco_linear=rng.uniform(20, 22, 2), voc_linear=rng.uniform(30, 33, 2), **more)
            if STUDIES[name].diagnosed:
                projection = similarities(*rng.uniform(0, 0.5, 2))
                done = done._replace(similarities=similarities(*rng.uniform(0, 1, 2), projection))
            found.append(done)
    found[1] = failed(found[1].setting, 0, error='pretrain ended with status 1: a | b <i> *c* (log: runs/x.log)')
    return found
