# Linear probe of ViT-S/16 on VOC2007: trained on trainval, measured on test, 20 classes.
#
# Reproduces: nothing published for DenseCL++. Here: not yet measured.
# Cost:       90 epochs of 5,011 images at 224 px, forward only. Time: not yet measured.
# Command:    tools/dist_train.sh configs/benchmarks/linear/vit-s16_voc07.py 1 \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = [
    '../../_base_/models/vit_s16_backbone.py',
    '../../_base_/models/linear_probe.py',
    '../../_base_/datasets/voc07_multilabel.py',
    '../../_base_/schedules/linear_probe_90e.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(**_base_.backbone, out_type='raw'),
    head=dict(in_channels=384, num_classes=20),
)
# Ours: times the number of classes, over which our loss is a mean.
optim_wrapper = dict(optimizer=dict(lr=0.16 * 20))
