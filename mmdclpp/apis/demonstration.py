"""The whole way once, on the built-in data: pretrain, probe, segment, compare and draw."""

import json
import time
from pathlib import Path
from typing import Dict, List, Mapping, Union

import cv2
import numpy as np
import torch
from mmengine.runner import Runner
from PIL import Image
from rich.console import Console
from rich.table import Table

import mmdclpp.registry  # noqa: F401  first: it heals torchvision
from mmdclpp.apis._runner import shipped_config, show_as_bar
from mmdclpp.apis._stages import Stages
from mmdclpp.apis.training import last_checkpoint, train
from mmdclpp.datasets.scenes import PALETTE, generate_scenes
from mmdclpp.models.backbones.features import extract_features
from mmdclpp.utils.files import write_whole
from mmdclpp.utils.imports import import_quietly
from mmdclpp.visualization import comparison_chart, correspondences, feature_pca, loss_curve

import_quietly('mmseg.datasets')

METHODS = {'DenseCL++': 'densecl_pp', 'DenseCL': 'densecl', 'SimCLR': 'simclr'}
METRICS = {
    'mAP': ('linear', 'multi-label/mAP'),
    'mIoU': ('segmentation', 'mIoU'),
}
RANDOM = 'random'


def demo(
    data_root: Union[str, Path] = 'data/scenes',
    work_dir: Union[str, Path] = 'work_dirs/demo',
    compare: bool = False,
    seed: int = 0,
) -> Dict[str, Dict[str, float]]:
    """Pretrain a small ViT with DenseCL++ on the built-in scenes and compare it with a random backbone.

    Writes ``results.json``, ``results.md`` and pictures to the work directory.

    Args:
        data_root (str or Path): Where the scenes lie or are to be generated. Defaults to 'data/scenes'.
        work_dir (str or Path): Where everything else goes. Defaults to 'work_dirs/demo'.
        compare (bool): Whether to pretrain with SimCLR and DenseCL too, at the same budget. Defaults to False.
        seed (int): Seed of training. Defaults to 0.

    Returns:
        Dict[str, Dict[str, float]]: mAP and mIoU in percent by method.
    """
    start, work_dir, data_root = time.monotonic(), Path(work_dir), Path(data_root)
    console = Console()
    methods = list(METHODS) if compare else ['DenseCL++']
    stages = Stages(console, total=1 + len(methods) + len(METRICS) * (1 + len(methods)) + 1)

    stages.begin(f'built-in scenes in {data_root}')
    generate_scenes(data_root)

    runners, rows = {}, {name: {} for name in [RANDOM, *methods]}
    for name in methods:
        stages.begin(f'pretrain with {name}')
        config = f'{METHODS[name]}/vit-demo_scenes.py'
        options = {'train_dataloader.dataset.data_root': str(data_root / 'images' / 'train')}
        runners[name] = _train(config, work_dir / _slug(name) / 'pretrain', seed, options)

    for name in rows:
        for metric, (task, key) in METRICS.items():
            stages.begin(f'{task} on {"a random backbone" if name == RANDOM else f"{name} features"}')
            options = {f'{split}_dataloader.dataset.data_root': str(data_root) for split in ('train', 'val')}
            options['model.init_cfg.checkpoint'] = last_checkpoint(runners[name].work_dir) if name in runners else None
            runner = _train(f'benchmarks/{task}/vit-demo_scenes.py', work_dir / _slug(name) / task, seed, options)
            rows[name][metric] = float(runner.message_hub.get_scalar(f'val/{key}').current())

    stages.begin('pictures')
    pictures = _draw(runners, rows, data_root, work_dir)
    _write_results(rows, work_dir)
    _print_results(console, rows, pictures, time.monotonic() - start)
    return rows


def _slug(name: str) -> str:
    return name.lower().replace('+', 'p')


def _train(config: str, work_dir: Path, seed: int, options: Mapping) -> Runner:
    cfg = shipped_config(config)
    show_as_bar(cfg)
    return train(cfg, work_dir=str(work_dir), seed=seed, cfg_options=options)


def _draw(runners: Mapping[str, Runner], rows: Mapping[str, Mapping], data_root: Path, work_dir: Path) -> List[Path]:
    """Write the pictures of a finished demo."""
    logs = {
        name: Path(runner.work_dir, runner.timestamp, 'vis_data', 'scalars.json') for name, runner in runners.items()
    }
    ours = runners['DenseCL++']
    pictures = [
        loss_curve(logs, work_dir / 'loss_curve.png'),
        _draw_correspondences(ours, work_dir / 'correspondences.png'),
        _draw_components(ours, data_root, work_dir / 'feature_pca.png'),
        comparison_chart(rows, work_dir / 'comparison.png'),
    ]
    return pictures


@torch.no_grad()
def _draw_correspondences(runner: Runner, picture: Path, num_pairs: int = 4) -> Path:
    model, dataset = runner.model.eval(), runner.train_dataloader.dataset
    views = torch.stack([torch.stack(dataset[index]['inputs']) for index in range(num_pairs)], dim=1)  # (2, N, 3, H, W)
    inputs = model.data_preprocessor({'inputs': list(views), 'data_samples': None})['inputs']
    features = [extract_features(model.backbone, view) for view in inputs]
    images = [[np.ascontiguousarray(image.permute(1, 2, 0).numpy()[..., ::-1]) for image in view] for view in views]
    first, second = (feature.positions.cpu() for feature in features)
    return correspondences(*images, first, second, features[0].grid, picture)


@torch.no_grad()
def _draw_components(runner: Runner, data_root: Path, picture: Path, num_images: int = 5, size: int = 128) -> Path:
    """Components at twice the training resolution: the position embedding is interpolated."""
    files = sorted((data_root / 'images' / 'val').glob('*.jpg'))[:num_images]
    images = [cv2.cvtColor(cv2.resize(cv2.imread(str(file)), (size, size)), cv2.COLOR_BGR2RGB) for file in files]
    masks = [np.array(Image.open(data_root / 'masks' / 'val' / f'{file.stem}.png')) for file in files]
    model = runner.model.eval()
    batch = torch.from_numpy(np.stack(images)[..., ::-1].copy()).permute(0, 3, 1, 2)
    inputs = model.data_preprocessor({'inputs': batch, 'data_samples': None})['inputs']
    features = extract_features(model.backbone, inputs)
    return feature_pca(images, features.positions.cpu(), features.grid, picture, masks, PALETTE)


def _write_results(rows: Mapping[str, Mapping[str, float]], work_dir: Path) -> None:
    table = ['| method | ' + ' | '.join(METRICS) + ' |', '|---|' + '---|' * len(METRICS)]
    table += [
        f'| {name} | ' + ' | '.join(f'{row[metric]:.1f}' for metric in METRICS) + ' |' for name, row in rows.items()
    ]
    for name, text in {'results.json': json.dumps(rows, indent=2), 'results.md': '\n'.join(table)}.items():
        write_whole(work_dir / name, text + '\n')


def _print_results(console: Console, rows: Mapping, pictures: List[Path], seconds: float) -> None:
    table = Table('method', *(f'{metric} (%)' for metric in METRICS), *(f'{metric} - random' for metric in METRICS))
    for name, row in rows.items():
        gains = [f'{row[metric] - rows[RANDOM][metric]:+.1f}' if name != RANDOM else '' for metric in METRICS]
        table.add_row(name, *(f'{row[metric]:.1f}' for metric in METRICS), *gains)
    console.print(table)
    for picture in pictures:
        console.print(f'picture: {picture}')
    console.print(f'{int(seconds) // 60} min {int(seconds) % 60} s')
