"""What feature_extraction.py times."""

import argparse
import io
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Dict

import cv2
import numpy as np
import torch
from _report import Spread, progress, time_interleaved
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmdclpp.datasets import UnlabelledImages
from mmdclpp.datasets.scenes.scene import draw_scene
from mmdclpp.evaluation import extract_image_features
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.registry import MODELS
from mmdclpp.utils.paths import config_path

NUM_SCENES = 32
QUALITY = 97  # some 150 kB an image, as COCO's


def draw_photographs(folder: Path) -> None:
    """Write scenes of 640 x 480 px."""
    for index in progress(range(NUM_SCENES), 'drawing images'):
        image = draw_scene(np.random.default_rng(index), 640).image[80:560]
        _, jpeg = cv2.imencode('.jpg', image, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
        (folder / f'{index:06d}.jpg').write_bytes(jpeg.tobytes())


def build_dataset(folder: str, count: int) -> Dataset:
    """``count`` images of a folder, from the first again after the last, prepared as for linear probing."""
    init_default_scope('mmdclpp')
    pipeline = Config.fromfile(config_path('_base_/datasets/coco_multilabel.py')).test_pipeline
    found = len(UnlabelledImages(data_prefix=folder))
    indices = [index % found for index in range(count)]
    return UnlabelledImages(data_prefix=folder, pipeline=pipeline, indices=indices)


def measure(arch: str, options: dict, dataset: Dataset, args: argparse.Namespace) -> Dict[str, dict]:
    """Measure one backbone.

    Args:
        arch (str): Its name.
        options (dict): Options of the backbone beside those of its config.
        dataset (Dataset): The images.
        args (argparse.Namespace): The flags of the tool.

    Returns:
        Dict[str, dict]: Images a second by case: median, quartiles, and the median's ratio to the bare backbone's.
    """
    torch.backends.cudnn.benchmark = True  # as the configs have it
    config = Config.fromfile(config_path(f'_base_/models/{arch.replace("-", "_")}_backbone.py'))
    backbone = MODELS.build({**config.backbone, **options}).to(args.device)
    backbone.eval()
    probe = Config.fromfile(config_path('_base_/models/linear_probe.py')).model
    data_preprocessor = MODELS.build(dict(type='ClsDataPreprocessor', **probe.data_preprocessor)).to(args.device)
    ready = torch.randn(args.batch_size, 3, 224, 224, device=args.device)

    def bare() -> None:
        tokens, means = [], []
        for start in range(0, args.count, args.batch_size):
            with torch.no_grad():
                features = extract_features(backbone, ready[: args.count - start])
            means.append(features.aggregate('gap'))
            if features.cls is not None:
                tokens.append(features.cls.contiguous())
        for aggregates in filter(None, (tokens, means)):
            torch.cat(aggregates).cpu()

    def extraction(module: nn.Module) -> None:
        with TemporaryDirectory() as cache, redirect_stdout(io.StringIO()):
            extract_image_features(
                module, data_preprocessor, dataset, args.batch_size, args.num_workers, cache, fingerprint=arch
            )

    nothing = Nothing().to(args.device)
    cases = {'bare': bare, 'extraction': lambda: extraction(backbone), 'loading alone': lambda: extraction(nothing)}
    times = time_interleaved(cases, args.rounds, args.warmup, args.device, arch)
    fastest = Spread.of(times['bare']).median
    results = {}
    for name, milliseconds in times.items():
        time = Spread.of(milliseconds)
        # The longest time is the lowest speed.
        speeds = zip(Spread._fields, (args.count * 1e3 / value for value in (time.median, time.upper, time.lower)))
        results[name] = {**dict(speeds), 'to_bare': fastest / time.median}
    return results


class Nothing(nn.Module):
    """A backbone whose features are one position of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.device = nn.Parameter(torch.empty(0))

    def forward(self, images: Tensor) -> Tensor:
        """Give the upper left corner."""
        return images[:, :, :1, :1]
