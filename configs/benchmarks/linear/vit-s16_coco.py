# Linear probe of ViT-S/16 on COCO 2017, 80 classes.
#
# Reproduces: the poster's multi-label classification: DenseCL++ mAP 63.4, F1 39.0 (which F1 it does not say).
#             Here: not yet measured. The poster gives no recipe; values that are fnc's are marked "prior".
# Cost:       90 epochs of 118,287 images at 224 px, forward only. Time: not yet measured.
# Command:    tools/dist_train.sh configs/benchmarks/linear/vit-s16_coco.py 1 \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = [
    '../../_base_/models/vit_s16_backbone.py',
    '../../_base_/models/linear_probe.py',
    '../../_base_/datasets/coco_multilabel.py',
    '../../_base_/schedules/linear_probe_90e.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(**_base_.backbone, out_type='raw'),
    head=dict(in_channels=384, num_classes=80),
)
# Ours: times the number of classes, over which our loss is a mean.
optim_wrapper = dict(optimizer=dict(lr=0.16 * 80))
