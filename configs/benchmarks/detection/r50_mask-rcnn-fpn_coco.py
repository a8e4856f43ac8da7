# Detection and instance segmentation on COCO 2017 by Mask R-CNN with a ResNet-50 FPN backbone, all weights trained.
#
# Reproduces: the usual "1x" schedule; nothing published for DenseCL++. Here: not yet measured.
# Needs:      mmdet and mmcv's compiled operators: make ops.
# Cost:       90k iterations of 16 images of 640 to 800 px. Time: not yet measured.
# Command:    tools/dist_train.sh configs/benchmarks/detection/r50_mask-rcnn-fpn_coco.py 8 \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = [
    '../../_base_/models/detector_r50_fpn.py',
    '../../_base_/datasets/coco_detection.py',
    '../../_base_/schedules/detection_sgd_90k.py',
    '../../_base_/detection_runtime.py',
]
model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    )
)
