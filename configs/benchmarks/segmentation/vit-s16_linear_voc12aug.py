# Segmentation of VOC2012 (with SBD) by a linear layer on the frozen patch features of ViT-S/16.
#
# Reproduces: nothing published for DenseCL++. Here: not yet measured.
# Cost:       20k iterations of 16 images at 512 px, backbone forward only. Time: not yet measured.
# Command:    tools/dist_train.sh configs/benchmarks/segmentation/vit-s16_linear_voc12aug.py 4 \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = ['./vit-s16_fcn_voc12aug.py']
model = dict(
    backbone=dict(frozen_stages=12),
    decode_head=dict(num_convs=0, concat_input=False, dropout_ratio=0.0),
)
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=1e-4))  # prior: DINOv2's linear segmentation
