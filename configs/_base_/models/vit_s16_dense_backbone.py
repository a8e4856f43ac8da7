# ViT-S/16 for crops of 512 px. The position embedding is resized from the pretraining resolution on loading.
_base_ = ['./vit_s16_backbone.py']
backbone = dict(img_size=512, out_type='featmap')
# A vision transformer sees crops of the size it was trained with.
inference = dict(mode='slide', crop_size=(512, 512), stride=(341, 341))  # prior: mmseg's ViT configs
