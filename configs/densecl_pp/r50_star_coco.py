# DenseCL++* with ResNet-50 on COCO 2017. A 7 × 7 map has 49 positions, so N is 32 where ViT-S/16 takes 64.
#
# Reproduces: nothing published. Here: not yet measured.
# Cost:       as r50_coco.py plus the scoring of M = 256 sets.
# Command:    tools/dist_train.sh configs/densecl_pp/r50_star_coco.py 8 --amp
_base_ = 'r50_coco.py'
model = dict(
    dense_head=dict(
        negatives=[
            dict(type='GuidedNegatives', num_sets=256, threshold=0.5),
            dict(type='CrossViewNegatives', num_negatives=32),
        ]
    )
)
