# SGD with steps, 90k iterations at a global batch of 16: detectron2's "1x", twelve epochs of COCO.
# prior: detectron2's Base-RCNN-FPN; warm-up, momentum and weight decay: mmdet's schedule_1x
_base_ = ['./detection_sgd_24k.py']
warm_up, steps = _base_.param_scheduler
param_scheduler = [{**warm_up, 'end': 500}, {**steps, 'end': 90000, 'milestones': [60000, 80000]}]
train_cfg = dict(max_iters=90000, val_interval=10000)
