"""A point of the space that the poster's studies search, and the config that trains it."""

import dataclasses
from pprint import pformat
from typing import Any, Dict, List, Mapping, Optional

from mmengine.config import Config


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a setting of a study may change of DenseCL++; equal recipes are one training, whichever study asks for it.

    Attributes:
        loss_lambda (float): ``λ``; 0 is SimCLR, to which only ``aggregate`` matters. Defaults to 0.5.
        aggregate (str): ``'gap'`` or ``'cls'``. Defaults to 'gap'.
        pair_feature (str): ``'backbone'`` or ``'projection'``. Defaults to 'backbone'.
        dense_global (bool): Whether negatives are DenseCL's, one pooled feature an image; the next three then do not
            matter. Defaults to False.
        num_sets (int): ``M``; 1 is random. Defaults to 1.
        threshold (float, optional): ``β``. Defaults to None, none.
        cross_view (int): ``N``. Defaults to 0.
        loss_gamma (float): ``γ``. Defaults to 0, no reconstruction.
        decoder (dict, optional): Config of the decoder, where ``loss_gamma`` is not 0. Defaults to None.
    """

    loss_lambda: float = 0.5
    aggregate: str = 'gap'
    pair_feature: str = 'backbone'
    dense_global: bool = False
    num_sets: int = 1
    threshold: Optional[float] = None
    cross_view: int = 0
    loss_gamma: float = 0.0
    decoder: Optional[Dict[str, Any]] = None

    @property
    def slug(self) -> str:
        """A name for files, which tells what matters."""
        if self.loss_lambda == 0:
            parts = ['simclr', self.aggregate]
        else:
            parts = ['densecl' if self.dense_global else 'densecl_pp', self.aggregate, self.pair_feature]
            parts += [f'l{self.loss_lambda:g}'] if self.loss_lambda != 0.5 else []
            if not self.dense_global:
                parts += [f'M{self.num_sets}'] if self.num_sets > 1 else []
                parts += [f'b{self.threshold:g}'] if self._thresholded else []
                parts += [f'N{self.cross_view}'] if self.cross_view else []
        parts += [f'{self.decoder["type"]}{self.loss_gamma:g}'] if self.loss_gamma else []
        return '-'.join(parts)

    @property
    def model(self) -> Dict[str, Any]:
        """What the config's ``model`` says otherwise than that of DenseCL++, from which it inherits."""
        model: Dict[str, Any] = dict(loss_lambda=self.loss_lambda, neck=dict(aggregate=self.aggregate))
        if self.loss_lambda:
            model['dense_head'] = dict(pair_feature=self.pair_feature, negatives=self._negatives)
        if self.loss_gamma:
            model.update(loss_gamma=self.loss_gamma, decoder=self.decoder)
        return model

    @property
    def _thresholded(self) -> bool:
        return self.threshold is not None and self.num_sets > 1  # of a single set, there is nothing to choose

    @property
    def _negatives(self) -> List[Dict[str, Any]]:
        if self.dense_global:
            return [dict(type='GlobalNegatives')]
        first = dict(type='RandomNegatives')
        if self.num_sets > 1:
            first = dict(type='GuidedNegatives', num_sets=self.num_sets)
            first.update(dict(threshold=self.threshold) if self._thresholded else {})
        cross_view = dict(type='CrossViewNegatives', num_negatives=self.cross_view)
        return [first, *([cross_view] if self.cross_view else [])]


def config_text(recipe: Recipe, base: str, options: Mapping[str, Any]) -> str:
    """The config of a recipe, as Python that inherits.

    Args:
        recipe (Recipe): What to train.
        base (str): The config of DenseCL++ to inherit from.
        options (Mapping): Further top-level keys.

    Returns:
        str: The text of the file.
    """
    keys = {'_base_': base, 'model': recipe.model, **options}
    return '\n'.join(f'{key} = {pformat(value, width=100, sort_dicts=False)}' for key, value in keys.items()) + '\n'


def shortened(cfg: Config, max_epochs: int) -> Dict[str, Any]:
    """The keys that let a config train for another number of epochs, its schedule in proportion."""
    before = cfg.train_cfg.max_epochs

    def scaled(epoch: int) -> int:
        if epoch in (0, before):
            return max_epochs if epoch else 0
        # A phase that is there keeps an epoch, as long as that leaves one for the last.
        return min(max(1, round(epoch * max_epochs / before)), max_epochs - 1)

    schedule = [dict(part) for part in cfg.param_scheduler]
    for part in schedule:
        part.update({key: scaled(part[key]) for key in ('begin', 'end') if key in part})
        if 'T_max' in part:
            part['T_max'] = max(1, part['end'] - part['begin'])
    schedule = [part for part in schedule if part['begin'] < part['end']]
    return dict(train_cfg=dict(max_epochs=max_epochs), param_scheduler=schedule)


def moved(dataset: Any, data_root: str) -> Any:
    """The config of a data set below ``data/``, with ``data_root`` in its place."""
    if isinstance(dataset, dict):
        return {
            key: data_root + value[len('data') :]
            if key == 'data_root' and isinstance(value, str) and f'{value}/'.startswith('data/')
            else moved(value, data_root)
            for key, value in dataset.items()
        }
    return [moved(part, data_root) for part in dataset] if isinstance(dataset, list) else dataset
