# DenseCL as published: mmpretrain's own model with momentum encoder and queues, ResNet-50, on COCO 2017.
#
# Reproduces: DenseCL pretrained on COCO (arXiv 2011.09157). Here: not yet measured.
# Cost:       800 epochs of 118,287 images at 224 px, two views each, global batch 8 × 32. Time: not yet measured.
# Command:    tools/dist_train.sh configs/densecl/r50_queue_coco.py 8
_base_ = '../densecl_pp/r50_coco.py'
model = dict(
    _delete_=True,
    type='DenseCL',
    queue_len=65536,
    feat_dim=128,
    momentum=0.001,
    loss_lambda=0.5,
    # With the scope: the model is mmpretrain's, which looks in its own.
    data_preprocessor={**_base_.model.data_preprocessor, 'type': 'mmdclpp.ViewDataPreprocessor'},
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN'), zero_init_residual=False),
    neck=dict(type='DenseCLNeck', in_channels=2048, hid_channels=2048, out_channels=128, num_grid=None),
    head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2),
)
param_scheduler = [  # as published: no warm-up
    dict(type='CosineAnnealingLR', T_max=800, by_epoch=True, begin=0, end=800, convert_to_iter_based=True)
]
default_hooks = dict(diagnostics=dict(interval=0))  # they need DenseCL++'s neck
find_unused_parameters = True  # the key encoder has no gradient
