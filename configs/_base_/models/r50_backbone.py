# ResNet-50, last feature map.
backbone = dict(type='mmpretrain.ResNet', depth=50, num_stages=4, out_indices=(3,))
