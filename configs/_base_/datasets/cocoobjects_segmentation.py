# COCO objects: 118,287 training images, 5,000 for validation, COCO's 80 classes of things and background.
# The masks are drawn from the instances: tools/dataset_converters.
_base_ = ['./segmentation_512px.py']
num_classes = 81
objects = dict(type='CocoObjectsDataset', _scope_='mmdclpp', data_root='data/coco/')
train_dataloader = dict(
    dataset=dict(**objects, data_prefix=dict(img_path='train2017', seg_map_path='annotations/objects_train2017'))
)
val_dataloader = dict(
    dataset=dict(**objects, data_prefix=dict(img_path='val2017', seg_map_path='annotations/objects_val2017'))
)
test_dataloader = val_dataloader
