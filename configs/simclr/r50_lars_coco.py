# SimCLR with ResNet-50 on COCO 2017 by its own optimizer, LARS, and otherwise the recipe of DenseCL++.
#
# Reproduces: nothing published with this recipe. Here: not yet measured.
# Cost:       a little less than densecl_pp/r50_lars_coco.py.
# Command:    tools/dist_train.sh configs/simclr/r50_lars_coco.py 8 --amp
_base_ = '../densecl_pp/r50_lars_coco.py'
model = dict(loss_lambda=0)
