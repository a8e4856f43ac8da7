# Segmentation of small VOC2012 images by a linear layer on the frozen patch features of the demo's ViT.
#
# Reproduces: nothing published; compares methods at equal budget on a CPU. Measured: see docs/results.md.
# Data:       data/voc_seg, VOC's layout: JPEGImages/, SegmentationClass/, ImageSets/Segmentation/{train,val}.txt.
# Cost:       not yet measured.
# Command:    python tools/train.py configs/benchmarks/segmentation/vit-mini_voc.py \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = ['./vit-demo_scenes.py']
model = dict(decode_head=dict(num_classes=21))
voc = dict(
    _delete_=True,
    type='PascalVOCDataset',
    data_root='data/voc_seg/',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
)
train_dataloader = dict(
    dataset=dict(**voc, ann_file='ImageSets/Segmentation/train.txt', pipeline=_base_.train_pipeline)
)
val_dataloader = dict(dataset=dict(**voc, ann_file='ImageSets/Segmentation/val.txt', pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
