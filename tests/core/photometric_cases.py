"""torchvision's functions, one image at a time, and images that are hard on them."""

import math
from typing import Dict, Sequence

import torch
import torchvision.transforms.functional as F
from torch import Tensor

from mmdclpp.core.photometric import ORDERS

# Brightness, contrast, saturation and hue, as ORDERS numbers them.
JITTER = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
NEUTRAL = (1, 1, 1, 0)


def row(order=0, brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0, grey=0, sigma=0.0, threshold=math.inf):
    """Parameters of an image that change nothing but what is named."""
    return [order, brightness, contrast, saturation, hue, grey, sigma, threshold]


def by_torchvision(image: Tensor, parameters: Sequence[float]) -> Tensor:
    """An RGB image in [0, 1], shape ``(3, H, W)``, changed by torchvision."""
    order, *jitter, grey, sigma, threshold = map(float, parameters)
    for index in ORDERS[int(order)]:
        if jitter[index] != NEUTRAL[index]:  # where torchvision only rounds, to below a threshold of 1 for example
            image = JITTER[index](image, jitter[index])
    if grey:
        image = F.rgb_to_grayscale(image, num_output_channels=3)
    if sigma > 0:
        largest = 2 * min(image.shape[1:]) - 1  # torchvision refuses kernels that its mirrored edges do not fill
        image = F.gaussian_blur(image, min(23, largest), sigma)
    return image if threshold == math.inf else F.solarize(image, threshold)


def images(height: int, width: int) -> Dict[str, Tensor]:
    """Images of every kind, float32 in [0, 1] of shape ``(3, H, W)``."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    noise = torch.rand(3, height, width, generator=generator)
    coarse = torch.rand(1, 3, 4, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode='bicubic')[0].clamp(0, 1)
    bits = torch.randint(2, (3, height, width), generator=generator).float()
    return {
        'photograph': (0.9 * smooth + 0.1 * noise).mul(255).round().div(255),
        'noise': noise,
        'grey': noise[:1].repeat(3, 1, 1),
        'almost grey': 0.5 * noise[:1] + 1e-7 * noise,
        'black': torch.zeros(3, height, width),
        'white': torch.ones(3, height, width),
        'saturated': bits,
        'two equal channels': noise[torch.tensor((0, 1, 1))],
        'two equal largest channels': torch.stack((noise[0].clamp_min(0.5), noise[0].clamp_min(0.5), 0.5 * noise[1])),
    }
