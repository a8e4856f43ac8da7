# DenseCL++ with ResNet-50 on COCO 2017. Not in the poster, which uses ViT-S/16; for comparison with DenseCL's backbone.
#
# Reproduces: nothing published. Here: not yet measured.
# Cost:       800 epochs of 118,287 images at 224 px, two views each, global batch 8 × 32. Time: not yet measured.
# Command:    tools/dist_train.sh configs/densecl_pp/r50_coco.py 8 --amp
_base_ = [
    '../_base_/models/r50_backbone.py',
    '../_base_/models/densecl_pp.py',
    '../_base_/datasets/coco_two_views.py',
    '../_base_/schedules/sgd_800e.py',
    '../_base_/pretraining_runtime.py',
]
model = dict(backbone=dict(**_base_.backbone, norm_cfg=dict(type='SyncBN')), neck=dict(in_channels=2048))
train_dataloader = dict(batch_size=32)  # prior: DenseCL, 256 on 8 GPUs
