# Detection on VOC2007+2012 by Faster R-CNN with a ResNet-50 C4 backbone, all weights trained.
#
# Reproduces: the VOC protocol of MoCo and DenseCL (56.7 AP for DenseCL after 800 epochs on COCO, the mean of five
#             runs); nothing published for DenseCL++. Here: not yet measured.
#             Theirs differs in two points: detectron2 trains on "difficult" objects too, which mmdet ignores, and
#             recomputes the statistics of batch norm before testing.
# Needs:      mmdet and mmcv's compiled operators: make ops.
# Cost:       24k iterations of 16 images of 480 to 800 px. Time: not yet measured.
# Command:    tools/dist_train.sh configs/benchmarks/detection/r50_faster-rcnn-c4_voc0712.py 8 \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = [
    '../../_base_/models/detector_r50_c4.py',
    '../../_base_/datasets/voc0712_detection.py',
    '../../_base_/schedules/detection_sgd_24k.py',
    '../../_base_/detection_runtime.py',
]
model = dict(roi_head=dict(bbox_head=dict(num_classes=_base_.num_classes)))
