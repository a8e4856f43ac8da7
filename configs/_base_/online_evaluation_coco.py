# Online evaluation on COCO 2017, 224 px, beside any pretraining: list this file in `_base_` too.
# Learns from 2,000 training images with labels (500 with COCO-Stuff's masks) and measures on as many validation images.
# Cost: not yet measured; every run logs its own.
online_labels = dict(
    type='CocoMultiLabel',
    data_root='data/coco/',
    pipeline=[
        dict(type='LoadImage'),
        dict(type='Resize', scale=(224, 224), backend='pillow', interpolation='bicubic'),
        dict(type='PackInputs'),
    ],
)
online_masks = dict(
    type='COCOStuffDataset',
    _scope_='mmseg',
    data_root='data/coco_stuff164k/',
    pipeline=[
        dict(type='LoadImage', _scope_='mmdclpp'),
        dict(type='LoadAnnotations'),
        dict(type='Resize', scale=(224, 224), keep_ratio=False),
        dict(type='PackSegInputs'),
    ],
)
custom_hooks = [
    dict(
        type='OnlineMultiLabelHook',
        train=dict(**online_labels, ann_file='annotations/instances_train2017.json', data_prefix='train2017/'),
        val=dict(**online_labels, ann_file='annotations/instances_val2017.json', data_prefix='val2017/'),
        interval=10,
        max_images=2000,
        num_workers=8,
    ),
    dict(
        type='OnlineDenseHook',
        train=dict(**online_masks, data_prefix=dict(img_path='images/train2017', seg_map_path='annotations/train2017')),
        val=dict(**online_masks, data_prefix=dict(img_path='images/val2017', seg_map_path='annotations/val2017')),
        interval=10,
        max_images=500,
        num_workers=8,
    ),
]
