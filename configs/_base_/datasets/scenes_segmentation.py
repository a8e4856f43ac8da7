# The built-in scenes with their masks (0 is the background), 64 px, without augmentation.
train_pipeline = [
    dict(type='LoadImage', _scope_='mmdclpp'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImage', _scope_='mmdclpp'),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='LoadAnnotations'),  # after resizing: figures are measured at the mask's own size
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImage', _scope_='mmdclpp'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(64, 64), keep_ratio=False)],
            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
metainfo = dict(
    classes=[
        'background',
        'striped disc',
        'checked heart',
        'dotted triangle',
        'ringed square',
        'netted star',
        'zigzag cross',
        'bricked hexagon',
        'triangular ring',
    ]
)
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=False,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='BaseSegDataset',
        metainfo=metainfo,
        data_root='data/scenes/',
        data_prefix=dict(img_path='images/train', seg_map_path='masks/train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=1,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BaseSegDataset',
        metainfo=metainfo,
        data_root='data/scenes/',
        data_prefix=dict(img_path='images/val', seg_map_path='masks/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
