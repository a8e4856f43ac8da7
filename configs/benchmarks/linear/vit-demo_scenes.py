# Linear probe of the demo's ViT on the built-in scenes.
#
# Reproduces: nothing published; the probe of `make demo`.
# Cost:       some 40 s on two CPU cores.
# Command:    python tools/train.py configs/benchmarks/linear/vit-demo_scenes.py \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = [
    '../../_base_/models/vit_demo_backbone.py',
    '../../_base_/models/linear_probe.py',
    '../../_base_/datasets/scenes_multilabel.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(**_base_.backbone, out_type='raw'),
    head=dict(in_channels=_base_.backbone.arch.embed_dims, num_classes=8),
    cache_features=True,  # the pipeline does not augment, so that the backbone runs once an image
)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=3e-2, weight_decay=0.0))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=15, by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=15, val_interval=15)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=15))
