# Segmentation of the built-in scenes by a linear layer on the frozen patch features of the demo's ViT.
#
# Reproduces: nothing published; the segmentation of `make demo`.
# Cost:       some 40 s on two CPU cores.
# Command:    python tools/train.py configs/benchmarks/segmentation/vit-demo_scenes.py \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = [
    '../../_base_/models/vit_demo_backbone.py',
    '../../_base_/models/segmentor.py',
    '../../_base_/datasets/scenes_segmentation.py',
    '../../_base_/segmentation_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone={**_base_.backbone, 'out_type': 'featmap', 'frozen_stages': _base_.backbone.arch.num_layers},
    decode_head=dict(
        in_channels=_base_.backbone.arch.embed_dims,
        channels=_base_.backbone.arch.embed_dims,
        num_classes=9,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
    ),
)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.0))
param_scheduler = [dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=0, end=200)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=200, val_interval=200)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=200))
