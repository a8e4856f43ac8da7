# Two augmented 48 px views of the built-in scenes; the labels are not read. The colours of an object are random, so
# that hue and grey are augmented strongly: what is left to tell images apart is pattern and shape.
view_pipeline = [
    dict(type='RandomResizedCropWithBox', scale=48, crop_ratio_range=(0.4, 1.0), backend='cv2'),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomApply',
        transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.5)],
        prob=0.8,
    ),
    dict(type='RandomGrayscale', prob=0.5, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989)),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=False,
    drop_last=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='UnlabelledImages',
        data_root='data/scenes/images/train/',
        pipeline=[
            # backend='mmpretrain' lets mmpretrain make the views, image by image on the CPU (docs/data-path.md)
            dict(type='LoadViews', num_views=2, transforms=[view_pipeline], backend='batched'),
            dict(type='PackInputs', meta_keys=('img_path', 'view_boxes', 'view_flips', 'view_photometric')),
        ],
    ),
)
