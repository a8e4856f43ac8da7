# DenseCL (in-batch negatives) with ViT-S/16 on COCO 2017: cls aggregate, pairs matched by projection features.
#
# Reproduces: multi-label COCO mAP 59.8, F1 38.1 (poster). Here: not yet measured.
# Cost:       as densecl_pp/vit-s16_coco.py.
# Command:    tools/dist_train.sh configs/densecl/vit-s16_cls_projection_coco.py 8 --amp
# Probe:      with --cfg-options model.aggregate=cls, the feature that this trains.
_base_ = '../densecl_pp/vit-s16_coco.py'
model = dict(
    neck=dict(aggregate='cls'),
    dense_head=dict(negatives=[dict(type='GlobalNegatives')], pair_feature='projection'),
)
