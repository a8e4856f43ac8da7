# Online evaluation on the built-in scenes, 64 px, beside any pretraining: list this file in `_base_` too.
# Learns from 500 training images and measures on 500 validation images, after every second epoch.
online_labels = dict(
    type='CocoMultiLabel',
    data_root='data/scenes/',
    pipeline=[dict(type='LoadImage'), dict(type='Resize', scale=(64, 64), backend='pillow'), dict(type='PackInputs')],
)
online_masks = dict(
    type='BaseSegDataset',
    _scope_='mmseg',
    data_root='data/scenes/',
    metainfo=dict(classes=['background', *(f'class {number}' for number in range(1, 9))]),
    pipeline=[
        dict(type='LoadImage', _scope_='mmdclpp'),
        dict(type='LoadAnnotations'),
        dict(type='Resize', scale=(64, 64), keep_ratio=False),
        dict(type='PackSegInputs'),
    ],
)
custom_hooks = [
    dict(
        type='OnlineMultiLabelHook',
        train=dict(**online_labels, ann_file='annotations/instances_train.json', data_prefix='images/train/'),
        val=dict(**online_labels, ann_file='annotations/instances_val.json', data_prefix='images/val/'),
        interval=2,
        max_images=500,
    ),
    dict(
        type='OnlineDenseHook',
        train=dict(**online_masks, data_prefix=dict(img_path='images/train', seg_map_path='masks/train')),
        val=dict(**online_masks, data_prefix=dict(img_path='images/val', seg_map_path='masks/val')),
        interval=2,
        max_images=500,
    ),
]
