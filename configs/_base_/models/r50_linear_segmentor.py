# A linear layer on the frozen features of ResNet-50's last stage, with output stride 8.
_base_ = ['./r50_dense_backbone.py', './linear_segmentor.py']
model = dict(
    backbone=dict(**_base_.backbone, frozen_stages=4),  # which also keeps the statistics of its batch norms
    neck=dict(in_channels=2048),
    decode_head=dict(in_channels=2048, channels=2048),
)
