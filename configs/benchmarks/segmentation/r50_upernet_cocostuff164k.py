# Segmentation of COCO-Stuff 164k, 171 classes, by ResNet-50 and UPerNet, all weights trained.
#
# Reproduces: nothing published for DenseCL++. Here: not yet measured.
# Cost:       80k iterations of 16 images at 512 px. Time: not yet measured.
# Command:    tools/dist_train.sh configs/benchmarks/segmentation/r50_upernet_cocostuff164k.py 4 \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = [
    '../../_base_/models/r50_upernet_segmentor.py',
    '../../_base_/datasets/cocostuff164k_segmentation.py',
    '../../_base_/schedules/segmentation_sgd_80k.py',
    '../../_base_/segmentation_runtime.py',
]
model = dict(
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
