# As segmentation_sgd_20k.py, for 80k iterations.
_base_ = ['./segmentation_sgd_20k.py']
(decay,) = _base_.param_scheduler
param_scheduler = [{**decay, 'end': 80000}]
train_cfg = dict(max_iters=80000, val_interval=8000)  # prior: mmseg's shortest for COCO-Stuff 164k
