# DenseCL++ with a very small ViT on some thousand small photographs: the reduced-scale study of docs/results.md.
#
# Reproduces: nothing published; compares methods at equal budget on a CPU. Measured: see docs/results.md.
# Data:       data/coco_mini and data/voc2007, folders with images/ and annotations/instances_train.json (COCO format).
# Cost:       some 7 minutes on two CPU cores.
# Command:    python tools/train.py configs/densecl_pp/vit-mini_photos.py
_base_ = 'vit-demo_scenes.py'
view_pipeline = [  # prior: DenseCL on COCO, without blur, which leaves little of 48 px
    dict(type='RandomResizedCropWithBox', scale=48, crop_ratio_range=(0.2, 1.0), backend='cv2'),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomApply',
        transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)],
        prob=0.8,
    ),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989)),
]
# Photographs of VOC2007 that are among the validation images of data/voc_seg, as 2007_NUMBER.
in_voc_seg_val = (
    '000129 000187 000256 000464 000862 001027 001073 001154 001175 001239 001397 001420 001439 001586 '
    '001595 002378 002618 003051 003118 003207 003587 003621 004275 004281 004423 004705 005130 005212 '
    '005331 005360 005430 005469 005547 005608 005647 005702 005878 006035 006444 006549 006678 006802 '
    '006864 006865 006900 007130 007414 007836 008085 008142 008218 008596 008747 008764 008815 008927 '
    '008932 008944 008948 009068 009706 009794'
).split()
photos = dict(
    type='UnlabelledImages',
    skip_broken=True,
    ann_file='annotations/instances_train.json',
    data_prefix='images/',
    pipeline=[
        dict(type='LoadViews', num_views=2, transforms=[view_pipeline], backend='batched'),
        dict(type='PackInputs', meta_keys=('img_path', 'view_boxes', 'view_flips', 'view_photometric')),
    ],
)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(**photos, data_root='data/coco_mini/'),
            dict(**photos, data_root='data/voc2007/', exclude=in_voc_seg_val),
        ],
    ),
)
train_cfg = dict(max_epochs=10)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=9, by_epoch=True, begin=1, end=10, convert_to_iter_based=True),
]
