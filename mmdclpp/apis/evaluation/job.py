"""What every evaluation is given."""

import dataclasses
from pathlib import Path
from typing import Any, Dict, Optional

from torch import nn

from mmdclpp.apis.evaluation.data import DataSource
from mmdclpp.apis.sources.model_source import ModelSource
from mmdclpp.errors import UserError


class NotApplicable(UserError):
    """An evaluation that this model has not got what it takes for; the others of the suite go on."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What the user chose for all evaluations; see :func:`mmdclpp.apis.evaluate`."""

    data_root: Path
    cache_dir: Path
    image_size: Optional[int] = None
    segmentation_size: Optional[int] = None
    batch_size: int = 64
    num_workers: int = 4
    seed: int = 0
    launcher: str = 'none'
    cfg_options: Dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Job:
    """One evaluation of one model on one data set.

    Attributes:
        source (ModelSource): What the model is.
        backbone (nn.Module): Built, with its weights, on the CPU.
        fingerprint (str): What distinguishes its features from those of other models.
        weights (Path): The backbone's weights by themselves.
        data (DataSource): The data.
        identity (str): What distinguishes these data from others.
        folder (Path): Where the evaluation may write.
        options (Options): The user's choices.
    """

    source: ModelSource
    backbone: nn.Module
    fingerprint: str
    weights: Path
    data: DataSource
    identity: str
    folder: Path
    options: Options

    @property
    def image_size(self) -> int:
        """The side of images for classification, in px: as in pretraining, unless chosen."""
        return self.options.image_size or self.source.image_size

    @property
    def segmentation_size(self) -> int:
        """The side of images for linear segmentation, in px: twice that for classification, unless chosen."""
        return self.options.segmentation_size or 2 * self.image_size
