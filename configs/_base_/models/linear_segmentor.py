# A linear layer on batch-normalised features, as DINOv2 measures frozen features.
# The config that inherits this sets the frozen backbone, neck.in_channels, decode_head.in_channels and .num_classes.
_base_ = ['./segmentor.py']
model = dict(
    neck=dict(type='FeatureBatchNorm', _scope_='mmdclpp'),
    decode_head=dict(num_convs=0, concat_input=False, dropout_ratio=0.0),
)
