# UPerNet, with an FCN head beside it in training.
# The config that inherits this sets the backbone, in_channels of both heads, auxiliary_head.in_index and num_classes.
_base_ = ['./segmentor.py']
model = dict(  # prior: mmseg's UPerNet
    decode_head=dict(
        _delete_=True,
        **_base_.head,
        type='UPerHead',
        in_index=(0, 1, 2, 3),
        pool_scales=(1, 2, 3, 6),
        channels=512,
    ),
    auxiliary_head={
        **_base_.head,
        'type': 'FCNHead',
        'channels': 256,
        'num_convs': 1,
        'concat_input': False,
        'loss_decode': dict(**_base_.head.loss_decode, loss_weight=0.4),
    },
)
