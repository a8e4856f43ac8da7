# SGD with steps, 24k iterations at a global batch of 16.
# prior: MoCo's pascal_voc_R_50_C4_24k, which DenseCL uses; momentum and weight decay: detectron2's, in mmdet's configs
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=24000, milestones=[18000, 22000], gamma=0.1),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=24000, val_interval=2000)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=16)
