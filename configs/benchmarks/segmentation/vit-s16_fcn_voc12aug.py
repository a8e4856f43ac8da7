# Segmentation of VOC2012 (with SBD) by ViT-S/16 and an FCN head, all weights trained.
#
# Reproduces: the poster's VOC mIoU: SimCLR 69.3, DenseCL++ 70.0. Here: not yet measured.
#             The poster gives no recipe; values that are DenseCL's or mmseg's are marked "prior".
# Cost:       20k iterations of 16 images at 512 px. Time: not yet measured.
# Command:    tools/dist_train.sh configs/benchmarks/segmentation/vit-s16_fcn_voc12aug.py 4 \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = [
    '../../_base_/models/vit_s16_fcn_segmentor.py',
    '../../_base_/datasets/voc12aug_segmentation.py',
    '../../_base_/schedules/segmentation_adamw_20k.py',
    '../../_base_/segmentation_runtime.py',
]
model = dict(decode_head=dict(num_classes=_base_.num_classes))
