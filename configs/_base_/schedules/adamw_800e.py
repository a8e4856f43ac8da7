# AdamW with warm-up and cosine decay for vision transformers, 800 epochs at a global batch of 1024.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=6e-4, weight_decay=0.1),  # prior: MoCo v3, 1.5e-4 · B/256
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={'.cls_token': dict(decay_mult=0.0), '.pos_embed': dict(decay_mult=0.0)},
    ),
)
param_scheduler = [
    # prior: the 40 epochs of warm-up of MoCo v3
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=40, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=760, by_epoch=True, begin=40, end=800, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=800)  # prior: DenseCL on COCO
auto_scale_lr = dict(base_batch_size=1024)
