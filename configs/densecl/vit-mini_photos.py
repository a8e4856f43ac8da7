# DenseCL (in-batch negatives) with a very small ViT on some thousand small photographs.
#
# Reproduces: nothing published; see docs/results.md.
# Cost:       some 7 minutes on two CPU cores.
# Command:    python tools/train.py configs/densecl/vit-mini_photos.py
_base_ = '../densecl_pp/vit-mini_photos.py'
model = dict(dense_head=dict(negatives=[dict(type='GlobalNegatives')]))
