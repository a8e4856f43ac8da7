# DenseCL++* with a very small ViT on some thousand small photographs: guided negatives with threshold, and cross-view.
#
# Reproduces: nothing published; see docs/results.md.
# Cost:       as vit-mini_photos.py and the scoring of M = 256 sets.
# Command:    python tools/train.py configs/densecl_pp/vit-mini_star_photos.py
_base_ = 'vit-mini_photos.py'
model = dict(
    dense_head=dict(
        negatives=[
            dict(type='GuidedNegatives', num_sets=256, threshold=0.5),
            dict(type='CrossViewNegatives', num_negatives=12),  # ours: N/K as in the poster's 64 of 196 positions
        ]
    )
)
