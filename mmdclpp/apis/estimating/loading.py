"""What a config's images are, and how many of them a core makes ready a second."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from torch import Tensor

from mmdclpp.datasets.scenes.scene import draw_scene
from mmdclpp.errors import UserError
from mmdclpp.registry import DATASETS
from mmdclpp.utils.random_states import random_states_kept

COCO_IMAGES = 118_287  # of train2017
_SECONDS = 1.0
_QUALITY = 97  # some 150 kB for 640 x 480 px, as COCO's


class Loading(NamedTuple):
    """The data side of a training.

    Attributes:
        images (int): In an epoch.
        counted (str): Where that number is from.
        views (List[Tuple[int, ...]]): Shape ``(3, height, width)`` of each view of an image.
        rate (float): Images a second that one core loads and augments, all views of each, measured.
        loaded (str): Which images were loaded for that.
    """

    images: int
    counted: str
    views: List[Tuple[int, ...]]
    rate: float
    loaded: str


def survey_loading(cfg: Config, images: Optional[int] = None) -> Loading:
    """Count the images of a config and load some, or built-in ones of COCO's size where there are none.

    Args:
        cfg (Config): A pretraining config.
        images (int, optional): Their number, where it is known otherwise. Defaults to None: those that are there, or
            COCO's if the config trains on COCO.

    Raises:
        UserError: If no image is there and their number is not known, or the config's samples are not views.
    """
    dataset_cfg = cfg.train_dataloader.dataset
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdclpp')), random_states_kept():
        try:
            dataset, absent = DATASETS.build(dataset_cfg), ''
        except (UserError, FileNotFoundError) as error:
            dataset, absent = None, str(error)
        if dataset is not None:
            views, rate = _time(lambda: dataset[np.random.randint(len(dataset))])
            counted, loaded = f'in {_root(dataset_cfg) or "the data set"}', "the config's own images"
            return Loading(images or len(dataset), 'as given' if images else counted, views, rate, loaded)
        if images is None and 'coco/train2017' not in str(_root(dataset_cfg)):
            raise UserError(f'images: give their number, or their place, for there are none here ({absent})')
        with TemporaryDirectory() as folder:
            sample = dict(img_path=_draw_photograph(Path(folder)), sample_idx=0)
            pipeline = Compose(_pipeline(dataset_cfg))
            views, rate = _time(lambda: pipeline(dict(sample)))
    counted = 'as given' if images else "COCO train2017's, which is not here"
    return Loading(images or COCO_IMAGES, counted, views, rate, 'a built-in image of 640 x 480 px')


def _root(dataset: dict) -> Optional[str]:
    return dataset.get('data_root')


def _pipeline(dataset: dict) -> list:
    """Of the data set, or the first one in a wrapper."""
    inner = dataset.get('dataset') or (dataset.get('datasets') or [None])[0]
    return dataset.get('pipeline') or (_pipeline(inner) if inner else [])


def _draw_photograph(folder: Path) -> str:
    image = draw_scene(np.random.default_rng(0), 640).image[80:560]
    file = folder / 'scene.jpg'
    file.write_bytes(cv2.imencode('.jpg', image, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))[1].tobytes())
    return str(file)


def _time(load: Callable[[], dict]) -> Tuple[List[Tuple[int, ...]], float]:
    """Shapes of the views, and images a second on one core, as a worker process loads them."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        views = load().get('inputs')
        count, start = 0, time.process_time()  # the core's own time, however busy the machine is
        while (gone := time.process_time() - start) < _SECONDS:
            load()
            count += 1
    finally:
        cv2.setNumThreads(threads)
    if not isinstance(views, (list, tuple)) or not all(isinstance(view, Tensor) for view in views):
        raise UserError('estimate: the samples of train_dataloader are not views of images: give a pretraining config')
    return [tuple(view.shape) for view in views], count / gone
