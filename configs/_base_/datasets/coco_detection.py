# COCO 2017: 118,287 training images, 5,000 for validation, boxes and masks of 80 classes.
_base_ = ['./detection_800px.py']
num_classes = 80
coco = dict(type='CocoDataset', data_root='data/coco/')
train_pipeline = [
    dict(type='LoadImage', _scope_='mmdclpp'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='RandomChoiceResize',
        scales=[(1333, side) for side in range(640, 801, 32)],  # prior: detectron2's Base-RCNN-FPN
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    dataset=dict(
        **coco,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(**coco, ann_file='annotations/instances_val2017.json', data_prefix=dict(img='val2017/'))
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoMetric', ann_file='data/coco/annotations/instances_val2017.json', metric=['bbox', 'segm']
)
test_evaluator = val_evaluator
