# A linear layer on the frozen patch features of ViT-S/16.
_base_ = ['./vit_s16_dense_backbone.py', './linear_segmentor.py']
model = dict(
    backbone=dict(**_base_.backbone, frozen_stages=12),
    neck=dict(in_channels=384),
    decode_head=dict(in_channels=384, channels=384),
    test_cfg=_base_.inference,
)
