# Linear evaluation as in google-research/fnc: SGD, cosine decay, 90 epochs at a global batch of 1024.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.16, momentum=0.9, nesterov=True, weight_decay=0.0)  # prior: fnc, 0.005 · √1024
)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=90, by_epoch=True, convert_to_iter_based=True)]  # prior: fnc
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=90, val_interval=10)  # prior: fnc
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=1024)
sync_bn = 'torch'  # the head's, over all processes
