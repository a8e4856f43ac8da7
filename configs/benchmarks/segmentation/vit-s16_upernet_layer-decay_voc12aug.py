# As vit-s16_upernet_voc12aug.py, with smaller learning rates for earlier layers: keeps more of what was pretrained.
#
# Reproduces: nothing published for DenseCL++. Here: not yet measured.
# Cost:       20k iterations of 16 images at 512 px. Time: not yet measured.
# Command:    tools/dist_train.sh configs/benchmarks/segmentation/vit-s16_upernet_layer-decay_voc12aug.py 4 \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = 'vit-s16_upernet_voc12aug.py'
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05),  # prior: mmseg's MAE, UPerNet on ADE20K
    constructor='mmpretrain.mmdclpp.LayerDecayOptimWrapperConstructor',
    # prior: 0.65 of mmseg's MAE; its BEiT has 0.9
    paramwise_cfg=dict(layer_decay_rate=0.65, bias_decay_mult=0.0),
)
