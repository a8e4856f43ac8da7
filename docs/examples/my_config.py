_base_ = '../../configs/densecl_pp/vit-demo_scenes.py'
custom_imports = dict(imports=['my_method'])
model = dict(dense_head=dict(type='SoftMatchHead', negatives=[dict(type='SeveralRandomNegatives', num_positions=8)]))
