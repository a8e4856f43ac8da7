# DenseCL++ with ViT-S/16 on your own images.
#
# Reproduces: nothing published. Batch, learning rate, crops and epochs are chosen for your images and your machine, and
#             printed with their rules before training begins (docs/own-images.md); --cfg-options come before them.
# Cost:       printed for CPUs; for GPUs `python tools/estimate.py` tells it.
# Command:    python tools/train.py configs/densecl_pp/vit-s16_folder.py --data FOLDER
_base_ = 'vit-s16_coco.py'
train_dataloader = dict(dataset=dict(data_root='data/own_images/'))  # --data
