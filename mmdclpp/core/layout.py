"""Which view is which in the global batch, wherever its images lie."""

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from mmdclpp.errors import UserError


class ViewLayout(NamedTuple):
    """The canonical order of the ``V = 2·B·W`` views of a global batch.

    View-major, then image over all ranks: global view ``view·(B·W) + rank·B + image``. Locally a
    process holds ``2·B`` views, the first view of its ``B`` images and then the second. What is
    computed from this order does not depend on how the images are spread over processes.

    Attributes:
        num_images (int): Images of this process, ``B``.
        world_size (int): Number of processes, ``W``.
        rank (int): This process.
    """

    num_images: int
    world_size: int = 1
    rank: int = 0

    @classmethod
    def of(cls, local_views: Tensor) -> 'ViewLayout':
        """The layout for local views ``(2·B, ...)`` in the current process group.

        Raises:
            UserError: If the number of local views is odd.
        """
        if len(local_views) % 2:
            raise UserError(f'expected two views an image, got {len(local_views)} views')
        world_size, rank = 1, 0
        if dist.is_available() and dist.is_initialized():
            world_size, rank = dist.get_world_size(), dist.get_rank()
        return cls(len(local_views) // 2, world_size, rank)

    @property
    def num_views(self) -> int:
        """Views in the global batch, ``V``."""
        return 2 * self.num_images * self.world_size

    def local(self, device: torch.device) -> Tensor:
        """Global index of each local view, shape ``(2·B,)``."""
        first = torch.arange(self.num_images, device=device) + self.rank * self.num_images
        return torch.cat([first, first + self.num_views // 2])

    def own_image(self, device: torch.device) -> Tensor:
        """The views that are no negatives of a local view, because they show its image: itself and its sibling.

        Returns:
            Tensor: Global indices, shape ``(2·B, 2)``.

        Raises:
            UserError: If the global batch holds one image only, which leaves no negatives.
        """
        images = self.num_views // 2
        if images < 2:
            raise UserError(
                'negatives come from other images, but the global batch holds only one: use a batch_size of 2 or '
                'more (and drop_last=True in train_dataloader, which leaves no smaller last batch)'
            )
        own = self.local(device)
        return torch.stack([own, (own + images) % self.num_views], dim=1)


def siblings(local_views: Tensor) -> Tensor:
    """The other view of each image: the halves of ``(2·B, ...)`` swapped."""
    return local_views.roll(len(local_views) // 2, dims=0)
