# Linear probe of ResNet-50 on COCO 2017, 80 classes.
#
# Reproduces: nothing published for DenseCL++. Here: not yet measured.
# Cost:       90 epochs of 118,287 images at 224 px, forward only. Time: not yet measured.
# Command:    tools/dist_train.sh configs/benchmarks/linear/r50_coco.py 1 \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = [
    '../../_base_/models/r50_backbone.py',
    '../../_base_/models/linear_probe.py',
    '../../_base_/datasets/coco_multilabel.py',
    '../../_base_/schedules/linear_probe_90e.py',
    '../../_base_/default_runtime.py',
]
model = dict(backbone=_base_.backbone, head=dict(in_channels=2048, num_classes=80))
# Ours: times the number of classes, over which our loss is a mean.
optim_wrapper = dict(optimizer=dict(lr=0.16 * 80))
