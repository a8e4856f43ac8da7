# DenseCL++ with a very small ViT on the built-in scenes: the pretraining of `make demo`.
#
# Reproduces: nothing published; shows within minutes on two CPU cores that dense contrast learns.
# Cost:       some 6 minutes on two CPU cores. Expected: see docs/results.md.
# Command:    python tools/make_scenes.py && python tools/train.py configs/densecl_pp/vit-demo_scenes.py
_base_ = [
    '../_base_/models/vit_demo_backbone.py',
    '../_base_/models/densecl_pp.py',
    '../_base_/datasets/scenes_two_views.py',
    '../_base_/pretraining_runtime.py',
]
model = dict(
    backbone={**_base_.backbone, 'img_size': 48, 'out_type': 'raw'},
    neck=dict(
        in_channels=128,
        global_projector=dict(hidden_channels=256, out_channels=64, num_layers=2, norm_cfg=dict(type='BN')),
        dense_projector=dict(hidden_channels=256, out_channels=64),
    ),
)
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=3.0),
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=14)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=13, by_epoch=True, begin=1, end=14, convert_to_iter_based=True),
]
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=1, max_keep_ckpts=2))
