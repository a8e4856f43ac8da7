# ViT-S/16 with UPerNet on the pyramid made of four of its layers, all weights trained.
_base_ = ['./vit_s16_dense_backbone.py', './upernet_segmentor.py']
channels = [384, 384, 384, 384]
model = dict(  # prior: mmseg's vit_deit-s16-ln_mln_upernet
    backbone=dict(**_base_.backbone, out_indices=(2, 5, 8, 11), drop_path_rate=0.1),
    neck=dict(type='MultiLevelNeck', in_channels=channels, out_channels=channels[0], scales=(4, 2, 1, 0.5)),
    decode_head=dict(in_channels=channels),
    auxiliary_head=dict(in_channels=channels[3], in_index=3),
    test_cfg=_base_.inference,
)
