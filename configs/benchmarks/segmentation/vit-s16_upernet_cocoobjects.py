# Segmentation of COCO objects, 81 classes, by ViT-S/16 and UPerNet, all weights trained.
#
# Reproduces: nothing published for DenseCL++. Here: not yet measured.
# Cost:       80k iterations of 16 images at 512 px. Time: not yet measured.
# Command:    tools/dist_train.sh configs/benchmarks/segmentation/vit-s16_upernet_cocoobjects.py 4 \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = [
    '../../_base_/models/vit_s16_upernet_segmentor.py',
    '../../_base_/datasets/cocoobjects_segmentation.py',
    '../../_base_/schedules/segmentation_adamw_80k.py',
    '../../_base_/segmentation_runtime.py',
]
model = dict(
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
