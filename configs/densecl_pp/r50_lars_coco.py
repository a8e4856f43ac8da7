# DenseCL++ with ResNet-50 on COCO 2017 by SimCLR's recipe for large batches: LARS, 8 × 128 images.
#
# Reproduces: nothing published. Here: not yet measured.
# Cost:       as r50_coco.py, with four times the images an update. Time: not yet measured.
# Command:    tools/dist_train.sh configs/densecl_pp/r50_lars_coco.py 8 --amp
_base_ = [
    '../_base_/models/r50_backbone.py',
    '../_base_/models/densecl_pp.py',
    '../_base_/datasets/coco_two_views.py',
    '../_base_/schedules/lars_800e.py',
    '../_base_/pretraining_runtime.py',
]
model = dict(backbone=dict(**_base_.backbone, norm_cfg=dict(type='SyncBN')), neck=dict(in_channels=2048))
train_dataloader = dict(batch_size=128)  # ours
