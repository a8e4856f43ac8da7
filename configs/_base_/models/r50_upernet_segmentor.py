# ResNet-50 with UPerNet on the maps of its four stages, all weights trained.
_base_ = ['./r50_backbone.py', './upernet_segmentor.py']
channels = [256, 512, 1024, 2048]
model = dict(  # prior: mmseg's upernet_r50
    backbone={**_base_.backbone, 'out_indices': (0, 1, 2, 3)},
    decode_head=dict(in_channels=channels),
    auxiliary_head=dict(in_channels=channels[2], in_index=2),
)
