# DenseCL++: global and dense InfoNCE, equally weighted, one random dense negative from every view of another image.
# A config that inherits it sets the backbone and neck.in_channels.
model = dict(
    type='DenseCLPlusPlus',
    data_preprocessor=dict(
        type='ViewDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
        non_blocking=True,
    ),
    neck=dict(
        type='DenseCLPlusPlusNeck',
        aggregate='gap',
        global_projector=dict(  # prior: SimCLR, three layers to 128, BN over the global batch
            type='MLPProjector', hidden_channels=2048, out_channels=128, num_layers=3, norm_cfg=dict(type='SyncBN')
        ),
        dense_projector=dict(  # prior: DenseCL, two layers to 128, no BN
            type='MLPProjector', hidden_channels=2048, out_channels=128, num_layers=2
        ),
    ),
    head=dict(type='GlobalInfoNCEHead', temperature=0.1),  # prior: SimCLR
    dense_head=dict(
        type='DenseInfoNCEHead',
        negatives=[dict(type='RandomNegatives')],
        pair_feature='backbone',
        temperature=0.2,  # prior: DenseCL
    ),
    loss_lambda=0.5,  # prior: DenseCL
)
