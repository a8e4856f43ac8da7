# What every detection run shares: mmdet's scope, and logs and checkpoints counted in iterations.
_base_ = ['./default_runtime.py']
default_scope = 'mmdet'
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=2000, max_keep_ckpts=2),
    visualization=dict(_delete_=True, type='DetVisualizationHook', draw=False),  # tools/test.py --show-dir
)
visualizer = dict(type='DetLocalVisualizer')
log_processor = dict(by_epoch=False)
