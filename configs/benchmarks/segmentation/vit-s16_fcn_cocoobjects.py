# Segmentation of COCO objects, 81 classes, by ViT-S/16 and an FCN head, all weights trained.
#
# Reproduces: the poster's COCO mIoU: SimCLR 61.5, DenseCL++ 63.3. Here: not yet measured.
#             The poster names neither the classes nor a recipe. We take COCO's 80 classes of things and background,
#             since its classification is over the 80 too. Other sets cannot be ruled out: torchvision's FCN of
#             ResNet-50 has 60.5 on COCO with VOC's 21 classes. COCO-Stuff's 171 are less likely: mmseg's models of
#             ResNet-50 have 39 to 41. Values that are DenseCL's or mmseg's are marked "prior".
# Cost:       80k iterations of 16 images at 512 px. Time: not yet measured.
# Command:    tools/dist_train.sh configs/benchmarks/segmentation/vit-s16_fcn_cocoobjects.py 4 \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = [
    '../../_base_/models/vit_s16_fcn_segmentor.py',
    '../../_base_/datasets/cocoobjects_segmentation.py',
    '../../_base_/schedules/segmentation_adamw_80k.py',
    '../../_base_/segmentation_runtime.py',
]
model = dict(decode_head=dict(num_classes=_base_.num_classes))
