# DenseCL++ with a very small ViT on some thousand small photographs: the reduced-scale study of docs/results.md.
#
# Reproduces: nothing published; compares methods at equal budget on a CPU. Measured: see docs/results.md.
# Data:       data/coco_mini and data/voc2007, folders with images/ and annotations/instances_train.json (COCO format).
# Cost:       some 7 minutes on two CPU cores.
# Command:    python tools/train.py configs/densecl_pp/vit-mini_photos.py
_base_ = 'vit-demo_scenes.py'
view_pipeline = [  # prior: DenseCL on COCO, without blur, which leaves little of 48 px
    dict(type='RandomResizedCrop', scale=48, crop_ratio_range=(0.2, 1.0), backend='cv2'),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomApply',
        transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)],
        prob=0.8,
    ),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989)),
]
photos = dict(
    type='UnlabelledImages',
    ann_file='annotations/instances_train.json',
    data_prefix='images/',
    pipeline=[
        dict(type='LoadImage'),
        dict(type='MultiView', num_views=2, transforms=[view_pipeline]),
        dict(type='PackInputs'),
    ],
)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[dict(**photos, data_root='data/coco_mini/'), dict(**photos, data_root='data/voc2007/')],
    ),
)
train_cfg = dict(max_epochs=8)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=7, by_epoch=True, begin=1, end=8, convert_to_iter_based=True),
]
