# Detection on mmdet's runner: what two-stage detectors share.
# The config that inherits this sets the backbone, in_channels and anchors of the region proposals, and the RoI head.
box_coder = dict(type='DeltaXYWHBBoxCoder', target_means=[0.0, 0.0, 0.0, 0.0])
roi_extractor = dict(type='SingleRoIExtractor', roi_layer=dict(type='RoIAlign', sampling_ratio=0))
# Which anchors and proposals learn what. prior: mmdet's R-CNNs
assigner = dict(type='MaxIoUAssigner', ignore_iof_thr=-1)
sampler = dict(type='RandomSampler', neg_pos_ub=-1)
model = dict(
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    rpn_head=dict(
        type='RPNHead',
        anchor_generator=dict(type='AnchorGenerator', ratios=[0.5, 1.0, 2.0]),
        bbox_coder=dict(**box_coder, target_stds=[1.0, 1.0, 1.0, 1.0]),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=dict(type='L1Loss'),
    ),
    roi_head=dict(
        type='StandardRoIHead',
        bbox_roi_extractor=roi_extractor,
        bbox_head=dict(
            roi_feat_size=7,
            bbox_coder=dict(**box_coder, target_stds=[0.1, 0.1, 0.2, 0.2]),
            loss_cls=dict(type='CrossEntropyLoss'),
            loss_bbox=dict(type='L1Loss'),
        ),
    ),
    train_cfg=dict(  # prior: mmdet's R-CNNs
        rpn=dict(
            assigner=dict(**assigner, pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True),
            sampler=dict(**sampler, num=256, pos_fraction=0.5, add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        rpn_proposal=dict(nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(
            assigner=dict(**assigner, pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False),
            sampler=dict(**sampler, num=512, pos_fraction=0.25, add_gt_as_proposals=True),
            pos_weight=-1,
            debug=False,
        ),
    ),
    test_cfg=dict(  # prior: mmdet's R-CNNs
        rpn=dict(max_per_img=1000, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
    ),
    # --cfg-options model.init_cfg.checkpoint=FILE; without it, a random backbone.
    init_cfg=dict(type='Pretrained', _scope_='mmdclpp', part='backbone', checkpoint=None),
)
# Batch norm over all processes; a process alone keeps plain batch norm, which also runs on a CPU.
sync_bn = 'torch'
