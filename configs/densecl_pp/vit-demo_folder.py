# DenseCL++ with a very small ViT on your own images, 48 px each view: to try the whole way within minutes, on a CPU.
#
# Reproduces: nothing published.
# Cost:       minutes for some thousand images on two CPU cores, with train_cfg.max_epochs=10.
# Command:    python tools/train.py configs/densecl_pp/vit-demo_folder.py --data FOLDER \
#                 --cfg-options train_cfg.max_epochs=10
_base_ = 'vit-mini_photos.py'
_pipeline = _base_.train_dataloader.dataset.datasets[0].pipeline
_images = dict(type='UnlabelledImages', skip_broken=True, data_root='data/own_images/', pipeline=_pipeline)  # --data
train_dataloader = dict(dataset=dict(_delete_=True, **_images))
