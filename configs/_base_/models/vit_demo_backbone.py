# A ViT small enough to pretrain on two CPU cores within minutes: 0.8 M parameters, patches of 8 px.
backbone = dict(
    type='mmpretrain.VisionTransformer',
    arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512),
    img_size=64,
    patch_size=8,
)
