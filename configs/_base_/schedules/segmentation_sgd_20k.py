# SGD with polynomial decay, 20k iterations at a global batch of 16 (mmseg's schedule, DenseCL's length for VOC).
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4))  # prior: DenseCL, mmseg
param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, by_epoch=False, begin=0, end=20000)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=20000, val_interval=2000)  # prior: DenseCL
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=16)
