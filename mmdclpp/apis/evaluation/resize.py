"""Give a config's pipelines another image size."""

from typing import Any, List

from mmengine.config import Config

PUBLISHED_CROP = 512  # what the segmentation configs are written for


def set_image_size(pipeline: List[dict], size: int) -> List[dict]:
    """A classification pipeline whose crops and resizes give images of ``size`` px."""
    resized = []
    for transform in pipeline:
        transform = dict(transform)
        if transform['type'] == 'RandomResizedCrop':
            transform['scale'] = size
        elif transform['type'] == 'Resize':
            transform['scale'] = (size, size)
        resized.append(transform)
    return resized


def set_crop_size(cfg: Config, size: int) -> None:
    """Scale a segmentation config, written for crops of 512 px, to crops of ``size`` px: all its sizes alike."""

    def scaled(value: Any) -> Any:
        return tuple(round(side * size / PUBLISHED_CROP) for side in value)

    def visit(part: Any) -> None:
        if isinstance(part, dict):
            for key in ('scale', 'crop_size', 'stride', 'size'):
                if isinstance(part.get(key), (tuple, list)):
                    part[key] = scaled(part[key])
            if part.get('img_size') == PUBLISHED_CROP:
                part['img_size'] = size
            part = list(part.values())
        if isinstance(part, (tuple, list)):
            for item in part:
                visit(item)

    if size != PUBLISHED_CROP:
        for key in ('model', 'train_dataloader', 'val_dataloader', 'test_dataloader'):
            visit(cfg.get(key))
