# Linear probe of the demo's ViT on VOC2007's training images: the reduced-scale study of docs/results.md.
#
# Reproduces: nothing published; compares methods at equal budget on a CPU. Measured: see docs/results.md.
# Data:       data/voc2007, a folder with images/ and annotations/instances_{train,val}.json (COCO format).
# Cost:       not yet measured.
# Command:    python tools/train.py configs/benchmarks/linear/vit-mini_voc07.py \
#                 --cfg-options model.init_cfg.checkpoint=PRETRAINED.pth
_base_ = ['./vit-demo_scenes.py']
model = dict(head=dict(num_classes=20))
train_dataloader = dict(dataset=dict(data_root='data/voc2007/', data_prefix=dict(img_path='images/')))
val_dataloader = dict(dataset=dict(data_root='data/voc2007/', data_prefix=dict(img_path='images/')))
test_dataloader = val_dataloader
