# LARS with warm-up and cosine decay for ResNets at large batches, 800 epochs at a global batch of 1024.
optim_wrapper = dict(
    # prior: SimCLR, lr 0.3 · B/256, no decay of biases and norms, which LARS does not adapt either; eta: LARS, SimCLR
    optimizer=dict(type='LARS', lr=1.2, momentum=0.9, weight_decay=1e-6, eta=0.001),
    constructor='LARSOptimWrapperConstructor',
)
param_scheduler = [
    # prior: the 10 epochs of warm-up of SimCLR
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=790, by_epoch=True, begin=10, end=800, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=800)  # prior: DenseCL on COCO
auto_scale_lr = dict(base_batch_size=1024)
