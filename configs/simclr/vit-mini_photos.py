# SimCLR with a very small ViT on some thousand small photographs.
#
# Reproduces: nothing published; see docs/results.md.
# Cost:       some 7 minutes on two CPU cores.
# Command:    python tools/train.py configs/simclr/vit-mini_photos.py
_base_ = '../densecl_pp/vit-mini_photos.py'
model = dict(loss_lambda=0)
