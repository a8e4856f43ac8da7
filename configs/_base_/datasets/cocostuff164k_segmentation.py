# COCO-Stuff 164k: 118,287 training images, 5,000 for validation, 171 classes.
_base_ = ['./segmentation_512px.py']
num_classes = 171
stuff = dict(type='COCOStuffDataset', data_root='data/coco_stuff164k/')
train_dataloader = dict(
    dataset=dict(**stuff, data_prefix=dict(img_path='images/train2017', seg_map_path='annotations/train2017'))
)
val_dataloader = dict(
    dataset=dict(**stuff, data_prefix=dict(img_path='images/val2017', seg_map_path='annotations/val2017'))
)
test_dataloader = val_dataloader
