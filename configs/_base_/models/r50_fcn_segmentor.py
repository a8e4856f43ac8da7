# ResNet-50 with output stride 8 and an FCN head on its last stage, all weights trained.
_base_ = ['./r50_dense_backbone.py', './segmentor.py']
model = dict(
    backbone=_base_.backbone,
    decode_head=dict(in_channels=2048, channels=512),  # prior: mmseg's FCN
)
