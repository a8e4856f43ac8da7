"""One global batch through a small whole model, in this process or in one of several."""

import os
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.logging import MessageHub
from torch.nn.parallel import DistributedDataParallel

from mmdclpp.core import ViewLayout
from mmdclpp.registry import MODELS

# Processes and images of the global batch; in the last case a process holds one image.
WORLDS = ((2, 6), (3, 6), (3, 3))

RANDOM = dict(type='RandomNegatives')
GUIDED = dict(type='GuidedNegatives', num_sets=9, threshold=0.3)
CROSS = dict(type='CrossViewNegatives', num_negatives=2)
CONV = dict(loss_gamma=0.4, decoder=dict(type='ConvDecoder', widths=[4, 4]))
TRANSFORMER = dict(
    loss_gamma=2, decoder=dict(type='TransformerDecoder', embed_dims=8, depth=1, num_heads=2, patch_size=4)
)
# Name -> (λ, negatives, pair feature, aggregate and, where there is one, the reconstruction).
LOSSES = {
    'SimCLR': (0, [RANDOM], 'backbone', 'gap'),
    'global': (1, [dict(type='GlobalNegatives')], 'backbone', 'gap'),
    'random': (1, [RANDOM], 'projection', 'gap'),
    'all': (1, [dict(type='AllNegatives')], 'backbone', 'gap'),
    'guided': (1, [dict(type='GuidedNegatives', num_sets=4)], 'backbone', 'gap'),
    'guided with β': (1, [GUIDED], 'projection', 'gap'),
    'guided with β, M < K': (1, [dict(GUIDED, num_sets=4)], 'projection', 'gap'),
    'cross-view': (1, [CROSS], 'backbone', 'gap'),
    'DenseCL': (0.5, [dict(type='GlobalNegatives')], 'backbone', 'cls'),
    'DenseCL++': (0.5, [RANDOM], 'backbone', 'gap'),
    'SimCLR and reconstruction': (0, [RANDOM], 'backbone', 'gap', CONV),
    'DenseCL++ and reconstruction': (0.5, [RANDOM], 'backbone', 'gap', TRANSFORMER),
    'DenseCL++*': (0.3, [GUIDED, CROSS], 'backbone', 'gap'),
    'all kinds at once': (
        0.7,
        [GUIDED, CROSS, RANDOM, dict(type='GlobalNegatives'), dict(type='AllNegatives')],
        'projection',
        'cls',
    ),
}


def build(loss: str, memory_budget: float) -> torch.nn.Module:
    """The same float64 model at every call: one transformer layer, 6 positions, no batch statistics."""
    loss_lambda, negatives, pair_feature, aggregate, *reconstruction = LOSSES[loss]
    head = dict(type='GlobalInfoNCEHead', memory_budget=memory_budget)
    dense_head = dict(
        type='DenseInfoNCEHead', pair_feature=pair_feature, negatives=negatives, memory_budget=memory_budget
    )
    projector = dict(type='MLPProjector', hidden_channels=8, out_channels=5)
    arch = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=16)
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='DenseCLPlusPlus',
            backbone=dict(type='VisionTransformer', arch=arch, img_size=(8, 12), patch_size=4, out_type='raw'),
            neck=dict(
                type='DenseCLPlusPlusNeck',
                in_channels=8,
                aggregate=aggregate,
                global_projector=projector,
                dense_projector=projector,
            ),
            head=head,
            dense_head=dense_head,
            loss_lambda=loss_lambda,
            **dict(*reconstruction),
        )
    ).double()
    for parameter in model.parameters():  # also those that start at zero
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def step(loss: str, num_images: int) -> dict:
    """This process's share of the global batch: its loss, what it logs, and the gradients that it would step with."""
    images = torch.randn(2 * num_images, 3, 8, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    world_size, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
    views = images[ViewLayout(num_images // world_size, world_size, rank).local('cpu')].chunk(2)
    MessageHub.get_instance(
        f'{loss} of {num_images} images, {world_size} processes'
    )  # a hub without the iteration of an earlier run
    # Every process cuts its work into chunks of another size, the first into the smallest there are.
    model = build(loss, memory_budget=1e-6 if rank == 0 else 1e-3 * rank)
    forward = DistributedDataParallel(model) if world_size > 1 else model
    log = forward(list(views), mode='loss')
    total = sum(value for name, value in log.items() if name.startswith('loss'))
    total.backward()
    return dict(
        loss=total.detach(),
        statistics={name: value for name, value in log.items() if not name.startswith('loss')},
        gradients={name: parameter.grad for name, parameter in model.named_parameters()},
    )


def run(rank: int, folder: str) -> None:
    """Process ``rank`` of the largest world; the smaller worlds leave the last processes out."""
    torch.set_num_threads(1)
    os.environ['GLOO_SOCKET_IFNAME'] = 'lo'
    for world_size, num_images in WORLDS:
        if rank < world_size:
            store = dist.FileStore(f'{folder}/store_{world_size}_{num_images}', world_size)
            dist.init_process_group('gloo', store=store, rank=rank, world_size=world_size)
            results = {loss: step(loss, num_images) for loss in LOSSES}
            torch.save(results, Path(folder) / f'{world_size}_{num_images}_{rank}.pt')
            dist.destroy_process_group()
