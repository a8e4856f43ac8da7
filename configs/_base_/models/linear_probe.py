# Linear probing on mmpretrain's runner: a frozen backbone, its aggregate, batch norm, one linear layer.
# The config that inherits this sets the backbone, head.num_classes and head.in_channels.
model = dict(
    type='LinearProbe',
    aggregate='gap',  # as in pretraining; --cfg-options model.aggregate=cls
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    head=dict(type='MultiLabelLinearHead', batch_norm=True),  # prior: MAE, for features of any scale
    # --cfg-options model.init_cfg.checkpoint=FILE; without it, a random backbone.
    init_cfg=dict(type='Pretrained', _scope_='mmdclpp', part='backbone', checkpoint=None),
)
