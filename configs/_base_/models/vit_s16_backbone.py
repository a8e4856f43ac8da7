# ViT-S/16. (mmpretrain's arch 'small' is another, larger model.)
backbone = dict(type='mmpretrain.VisionTransformer', arch='deit-small', img_size=224, patch_size=16)
