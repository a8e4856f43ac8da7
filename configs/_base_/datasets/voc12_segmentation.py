# VOC2012: 1,464 training images, 1,449 for validation, 20 classes and background.
_base_ = ['./segmentation_512px.py']
num_classes = 21
voc = dict(
    type='PascalVOCDataset',
    data_root='data/VOCdevkit/VOC2012/',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
)
train_dataloader = dict(dataset=dict(**voc, ann_file='ImageSets/Segmentation/train.txt'))
val_dataloader = dict(dataset=dict(**voc, ann_file='ImageSets/Segmentation/val.txt'))
test_dataloader = val_dataloader
