# DenseCL (in-batch negatives) with ViT-S/16 on COCO 2017: gap aggregate, pairs matched by projection features.
#
# Reproduces: a GAP row of DenseCL in the poster's first table (mAP 58.1, F1 37.3; the copy at hand does not
#             say for which pair feature). Here: not yet measured.
# Cost:       as densecl_pp/vit-s16_coco.py.
# Command:    tools/dist_train.sh configs/densecl/vit-s16_gap_projection_coco.py 8 --amp
_base_ = '../densecl_pp/vit-s16_coco.py'
model = dict(
    neck=dict(aggregate='gap'),
    dense_head=dict(negatives=[dict(type='GlobalNegatives')], pair_feature='projection'),
)
