# ResNet-50 with output stride 8, by dilation.
_base_ = ['./r50_backbone.py']
backbone = dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))  # prior: DenseCL, mmseg
