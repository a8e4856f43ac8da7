# Mask R-CNN on a feature pyramid of ResNet-50, all weights trained, batch norm in every new part.
_base_ = ['./r50_backbone.py', './detector.py']
norm = dict(type='BN')
extractor = dict(out_channels=256, featmap_strides=[4, 8, 16, 32])
model = dict(  # prior: mmselfsup's mask-rcnn_r50_fpn_ms-1x_coco
    type='MaskRCNN',
    data_preprocessor=dict(pad_mask=True),
    backbone={**_base_.backbone, 'out_indices': (0, 1, 2, 3)},
    neck=dict(type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5, norm_cfg=norm),
    rpn_head=dict(
        in_channels=256,
        feat_channels=256,
        anchor_generator=dict(scales=[8], strides=[4, 8, 16, 32, 64]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(roi_layer=dict(output_size=7), **extractor),
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', in_channels=256, fc_out_channels=1024, norm_cfg=norm),
        mask_roi_extractor={
            **_base_.roi_extractor,
            **extractor,
            'roi_layer': dict(**_base_.roi_extractor.roi_layer, output_size=14),
        },
        mask_head=dict(
            type='FCNMaskHead',
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            norm_cfg=norm,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True),
        ),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=2000, max_per_img=1000), rcnn=dict(mask_size=28)),
    test_cfg=dict(rpn=dict(nms_pre=1000), rcnn=dict(mask_thr_binary=0.5)),
)
