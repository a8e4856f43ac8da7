# VOC2012 with SBD's masks: 10,582 training images, 1,449 for validation, 20 classes and background.
_base_ = ['./voc12_segmentation.py']
voc_train = _base_.train_dataloader.dataset
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            voc_train,
            {
                **voc_train,
                'ann_file': 'ImageSets/Segmentation/aug.txt',
                'data_prefix': {**voc_train.data_prefix, 'seg_map_path': 'SegmentationClassAug'},
            },
        ],
    )
)
