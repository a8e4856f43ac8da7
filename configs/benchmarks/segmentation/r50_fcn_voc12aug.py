# Segmentation of VOC2012 (with SBD) by ResNet-50 with output stride 8 and an FCN head, all weights trained.
#
# Reproduces: DenseCL's VOC protocol (FCN, 512 px, 20k iterations): 67.5 for DenseCL after 800 epochs on COCO;
#             nothing published for DenseCL++. Here: not yet measured.
# Cost:       20k iterations of 16 images at 512 px. Time: not yet measured.
# Command:    tools/dist_train.sh configs/benchmarks/segmentation/r50_fcn_voc12aug.py 4 \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = [
    '../../_base_/models/r50_fcn_segmentor.py',
    '../../_base_/datasets/voc12aug_segmentation.py',
    '../../_base_/schedules/segmentation_sgd_20k.py',
    '../../_base_/segmentation_runtime.py',
]
model = dict(decode_head=dict(num_classes=_base_.num_classes))
