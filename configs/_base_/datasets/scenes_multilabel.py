# The built-in scenes, classes present or absent in each image, 64 px, without augmentation.
pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale=(64, 64), backend='pillow'),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=256,
    num_workers=1,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='CocoMultiLabel',
        data_root='data/scenes/',
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img_path='images/train/'),
        pipeline=pipeline,
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=1,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='CocoMultiLabel',
        data_root='data/scenes/',
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img_path='images/val/'),
        pipeline=pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='MultiLabelMetrics')
test_evaluator = val_evaluator
