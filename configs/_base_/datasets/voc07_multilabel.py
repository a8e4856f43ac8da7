# VOC2007 trainval and test, 20 classes present or absent in each image ("difficult" ones ignored), 224 px.
# The annotations are the COCO-style JSON files pascal_{trainval,test}2007.json.
_base_ = ['./coco_multilabel.py']
data_root = 'data/VOCdevkit/VOC2007/'
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/pascal_trainval2007.json',
        data_prefix=dict(img_path='JPEGImages/'),
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/pascal_test2007.json',
        data_prefix=dict(img_path='JPEGImages/'),
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(protocol='voc')  # average precision over eleven points, as VOC2007 defines it
test_evaluator = val_evaluator
