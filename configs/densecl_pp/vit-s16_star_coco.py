# DenseCL++* with ViT-S/16 on COCO 2017: guided negatives with threshold, and cross-view negatives.
#
# Reproduces: multi-label COCO mAP 64.1, F1 39.1 (poster). Here: not yet measured.
# Cost:       as vit-s16_coco.py plus the scoring of M = 256 sets.
# Command:    tools/dist_train.sh configs/densecl_pp/vit-s16_star_coco.py 8 --amp
_base_ = 'vit-s16_coco.py'
model = dict(
    dense_head=dict(
        negatives=[
            dict(type='GuidedNegatives', num_sets=256, threshold=0.5),
            dict(type='CrossViewNegatives', num_negatives=64),
        ]
    )
)
