# DenseCL++ with ViT-S/16 on COCO 2017 (the poster's row "DenseCL++, GAP, backbone").
#
# Reproduces: multi-label COCO mAP 63.4, F1 39.0; VOC mIoU 70.0, COCO mIoU 63.3 (poster). Here: not yet measured.
#             The poster leaves the training recipe open; every value that it does not give is marked "prior".
# Cost:       800 epochs of 118,287 images at 224 px, two views each, global batch 8 × 128. Time: not yet measured.
# Command:    tools/dist_train.sh configs/densecl_pp/vit-s16_coco.py 8 --amp
_base_ = [
    '../_base_/models/vit_s16_backbone.py',
    '../_base_/models/densecl_pp.py',
    '../_base_/datasets/coco_two_views.py',
    '../_base_/schedules/adamw_800e.py',
    '../_base_/pretraining_runtime.py',
]
model = dict(backbone=dict(**_base_.backbone, out_type='raw'), neck=dict(in_channels=384))
