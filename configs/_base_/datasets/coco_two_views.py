# Two augmented 224 px views of every COCO 2017 training image; the labels are not read.
view_pipeline = [  # prior: DenseCL on COCO
    dict(type='RandomResizedCropWithBox', scale=224, crop_ratio_range=(0.2, 1.0), backend='pillow'),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomApply',
        transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)],
        prob=0.8,
    ),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989)),
    dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5),
]
train_dataloader = dict(
    batch_size=128,  # ours: 1024 on 8 GPUs
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='UnlabelledImages',
        skip_broken=True,
        data_root='data/coco/train2017/',
        pipeline=[
            # backend='mmpretrain' lets mmpretrain make the views, image by image on the CPU (docs/data-path.md)
            dict(type='LoadViews', num_views=2, transforms=[view_pipeline], backend='batched'),
            dict(type='PackInputs', meta_keys=('img_path', 'view_boxes', 'view_flips', 'view_photometric')),
        ],
    ),
)
