# SimCLR with ViT-S/16 on COCO 2017, global feature: class token.
#
# Reproduces: a SimCLR row of the poster's first table (multi-label COCO mAP 57.8 to 59.6, F1 37.5 to 37.9; the copy
#             at hand does not say which value belongs to which aggregate). Here: not yet measured.
# Cost:       a little less than densecl_pp/vit-s16_coco.py.
# Command:    tools/dist_train.sh configs/simclr/vit-s16_cls_coco.py 8 --amp
# Probe:      with --cfg-options model.aggregate=cls, the feature that this trains.
_base_ = '../densecl_pp/vit-s16_coco.py'
model = dict(neck=dict(aggregate='cls'), loss_lambda=0)
