# Faster R-CNN on the fourth of ResNet-50's five stages; the fifth is the head's. All weights trained.
_base_ = ['./r50_backbone.py', './detector.py']
model = dict(  # prior: MoCo's Base-RCNN-C4-BN, on mmdet's names
    type='FasterRCNN',
    backbone={**_base_.backbone, 'num_stages': 3, 'strides': (1, 2, 2), 'dilations': (1, 1, 1), 'out_indices': (2,)},
    rpn_head=dict(
        in_channels=1024,
        feat_channels=1024,
        anchor_generator=dict(scales=[2, 4, 8, 16, 32], strides=[16]),
    ),
    roi_head=dict(
        # mmpretrain's: MoCo ends the stage with one more batch norm.
        shared_head=dict(
            type='ResLayerExtraNorm', depth=50, stage=3, stride=2, norm_cfg=dict(type='BN'), norm_eval=False
        ),
        bbox_roi_extractor=dict(roi_layer=dict(output_size=14), out_channels=1024, featmap_strides=[16]),
        bbox_head=dict(type='BBoxHead', with_avg_pool=True, in_channels=2048),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=12000, max_per_img=2000)),
    test_cfg=dict(rpn=dict(nms_pre=6000)),
    # The pretrained backbone's last stage is this detector's head.
    init_cfg=dict(elsewhere=dict(layer4='roi_head.shared_head.layer4')),
)
