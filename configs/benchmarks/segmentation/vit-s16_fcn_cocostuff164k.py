# Segmentation of COCO-Stuff 164k, 171 classes, by ViT-S/16 and an FCN head, all weights trained.
#
# Reproduces: nothing as yet: the poster's COCO mIoU (SimCLR 61.5, DenseCL++ 63.3) names neither classes nor recipe.
#             Here: not yet measured.
# Cost:       20k iterations of 16 images at 512 px. Time: not yet measured.
# Command:    tools/dist_train.sh configs/benchmarks/segmentation/vit-s16_fcn_cocostuff164k.py 4 \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = [
    '../../_base_/models/vit_s16_backbone.py',
    '../../_base_/models/segmentor.py',
    '../../_base_/datasets/cocostuff164k_segmentation.py',
    '../../_base_/schedules/segmentation_adamw_20k.py',
    '../../_base_/segmentation_runtime.py',
]
model = dict(
    # The position embedding is resized from the pretraining resolution on loading.
    backbone={**_base_.backbone, 'img_size': 512, 'out_type': 'featmap'},
    decode_head=dict(in_channels=384, channels=384, num_classes=171),
    # A vision transformer sees crops of the size it was trained with.
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),  # prior: mmseg's ViT configs
)
