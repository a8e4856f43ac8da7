# Segmentation on mmseg's runner: a backbone, loaded like a linear probe's, and an FCN head on its last feature map.
# The config that inherits this sets the backbone, decode_head.in_channels, .channels and .num_classes.
# What every head has:
head = dict(
    dropout_ratio=0.1,
    norm_cfg=dict(type='BN'),
    align_corners=False,
    loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, avg_non_ignore=True),
)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(512, 512),
        pad_val=0,
        seg_pad_val=255,
    ),
    decode_head=dict(type='FCNHead', in_index=-1, num_convs=2, concat_input=True, **head),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
    # --cfg-options model.init_cfg.checkpoint=FILE; without it, a random backbone.
    init_cfg=dict(type='Pretrained', _scope_='mmdclpp', part='backbone', checkpoint=None),
)
tta_model = dict(type='SegTTAModel')  # tools/test.py --tta, with the tta_pipeline of the data set
# Batch norm over all processes; a process alone keeps plain batch norm, which also runs on a CPU.
sync_bn = 'torch'
