# ViT-S/16 with an FCN head on its last layer, all weights trained.
_base_ = ['./vit_s16_dense_backbone.py', './segmentor.py']
model = dict(
    backbone=_base_.backbone,
    decode_head=dict(in_channels=384, channels=384),
    test_cfg=_base_.inference,
)
