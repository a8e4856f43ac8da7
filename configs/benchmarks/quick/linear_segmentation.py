# Segmentation by a linear layer on frozen features, within minutes: what `tools/evaluate.py --suite quick` runs.
#
# Reproduces: nothing published; a first look at dense features. Images are squeezed to squares of twice the
#             pretraining size, whole, without augmentation. Measured: see docs/results.md.
# Cost:       500 iterations of 16 images, backbone forward only.
# Command:    python tools/evaluate.py CHECKPOINT --tasks voc-seg      (sets backbone, data and sizes)
_base_ = ['../../_base_/models/linear_segmentor.py', '../../_base_/segmentation_runtime.py']
image_size = (448, 448)
model = dict(
    data_preprocessor=dict(size=image_size),
    backbone=dict(type='FeatureMap', _scope_='mmdclpp', frozen=True),
    init_cfg=dict(part='backbone.backbone'),
)
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=False,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        pipeline=[
            dict(type='LoadImage', _scope_='mmdclpp'),
            dict(type='LoadAnnotations'),
            dict(type='Resize', scale=image_size, keep_ratio=False),
            dict(type='PackSegInputs'),
        ]
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        pipeline=[
            dict(type='LoadImage', _scope_='mmdclpp'),
            dict(type='Resize', scale=image_size, keep_ratio=False),
            dict(type='LoadAnnotations'),  # after resizing: figures are measured at the mask's own size
            dict(type='PackSegInputs'),
        ]
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.0))  # ours: features are batch-normalised
param_scheduler = [dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=0, end=500)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=500, val_interval=500)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(checkpoint=dict(interval=250))
auto_scale_lr = dict(base_batch_size=16)
