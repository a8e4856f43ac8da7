# VOC2007 and 2012 trainval for training (16,551 images), VOC2007 test (4,952) for testing, 20 classes.
_base_ = ['./detection_800px.py']
num_classes = 20
voc = dict(type='VOCDataset', data_root='data/VOCdevkit/')
train_pipeline = [
    dict(type='LoadImage', _scope_='mmdclpp'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomChoiceResize',
        scales=[(1333, side) for side in range(480, 801, 32)],  # prior: MoCo
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    dataset=dict(
        type='ConcatDataset',
        ignore_keys=['dataset_type'],  # in which the two years differ
        datasets=[
            dict(
                **voc,
                ann_file=f'VOC{year}/ImageSets/Main/trainval.txt',
                data_prefix=dict(sub_data_root=f'VOC{year}/'),
                filter_cfg=dict(filter_empty_gt=True, min_size=32),
                pipeline=train_pipeline,
            )
            for year in (2007, 2012)
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(**voc, ann_file='VOC2007/ImageSets/Main/test.txt', data_prefix=dict(sub_data_root='VOC2007/'))
)
test_dataloader = val_dataloader
# The AP of MoCo and DenseCL: the mean over ten overlaps, of VOC2007's eleven points each.
val_evaluator = dict(
    type='VOCMetric',
    metric='mAP',
    iou_thrs=[0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95],
    eval_mode='11points',
)
test_evaluator = val_evaluator
