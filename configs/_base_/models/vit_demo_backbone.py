# A ViT small enough to pretrain on two CPU cores within minutes: 64 px images, 8 × 8 patches of 8 px.
backbone = dict(
    type='mmpretrain.VisionTransformer',
    arch=dict(embed_dims=192, num_layers=4, num_heads=3, feedforward_channels=768),
    img_size=64,
    patch_size=8,
)
