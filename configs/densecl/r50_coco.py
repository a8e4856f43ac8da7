# DenseCL (in-batch negatives) with ResNet-50 on COCO 2017, by the same class and recipe as DenseCL++.
#
# Reproduces: nothing published; the published DenseCL with its queue is r50_queue_coco.py. Here: not yet measured.
# Cost:       as densecl_pp/r50_coco.py.
# Command:    tools/dist_train.sh configs/densecl/r50_coco.py 8 --amp
_base_ = '../densecl_pp/r50_coco.py'
model = dict(dense_head=dict(negatives=[dict(type='GlobalNegatives')]))
