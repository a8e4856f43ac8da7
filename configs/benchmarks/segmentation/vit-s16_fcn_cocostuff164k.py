# Segmentation of COCO-Stuff 164k, 171 classes, by ViT-S/16 and an FCN head, all weights trained.
#
# Reproduces: nothing published for DenseCL++. Here: not yet measured.
# Cost:       80k iterations of 16 images at 512 px. Time: not yet measured.
# Command:    tools/dist_train.sh configs/benchmarks/segmentation/vit-s16_fcn_cocostuff164k.py 4 \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = [
    '../../_base_/models/vit_s16_fcn_segmentor.py',
    '../../_base_/datasets/cocostuff164k_segmentation.py',
    '../../_base_/schedules/segmentation_adamw_80k.py',
    '../../_base_/segmentation_runtime.py',
]
model = dict(decode_head=dict(num_classes=_base_.num_classes))
