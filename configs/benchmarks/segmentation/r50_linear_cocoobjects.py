# Segmentation of COCO objects, 81 classes, by a linear layer on the frozen features of ResNet-50.
#
# Reproduces: nothing published for DenseCL++. Here: not yet measured.
# Cost:       40k iterations of 16 images at 512 px, backbone forward only. Time: not yet measured.
# Command:    tools/dist_train.sh configs/benchmarks/segmentation/r50_linear_cocoobjects.py 4 \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = [
    '../../_base_/models/r50_linear_segmentor.py',
    '../../_base_/datasets/cocoobjects_segmentation.py',
    '../../_base_/schedules/segmentation_linear_40k.py',
    '../../_base_/segmentation_runtime.py',
]
model = dict(decode_head=dict(num_classes=_base_.num_classes))
