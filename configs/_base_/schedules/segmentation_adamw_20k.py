# AdamW with warm-up and linear decay, 20k iterations at a global batch of 16 (DenseCL's length for VOC).
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),  # prior: mmseg's ViT configs
    paramwise_cfg=dict(
        norm_decay_mult=0.0, custom_keys={'pos_embed': dict(decay_mult=0.0), 'cls_token': dict(decay_mult=0.0)}
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),  # prior: mmseg's ViT configs
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=1500, end=20000),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=20000, val_interval=2000)  # prior: DenseCL
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=16)
