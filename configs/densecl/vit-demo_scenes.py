# DenseCL (in-batch negatives) with the demo's ViT on the built-in scenes, for `make demo ARGS=--compare`.
#
# Reproduces: nothing published.
# Cost:       some 6 minutes on two CPU cores. Expected: see docs/results.md.
# Command:    python tools/make_scenes.py && python tools/train.py configs/densecl/vit-demo_scenes.py
_base_ = '../densecl_pp/vit-demo_scenes.py'
model = dict(dense_head=dict(negatives=[dict(type='GlobalNegatives')]))
