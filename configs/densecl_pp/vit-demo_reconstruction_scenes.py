# The demo's pretraining with DenseCL++ and reconstruction as an auxiliary task, with pictures of what is reconstructed.
#
# Reproduces: nothing published; the poster finds little or no gain, and harm where γ is large.
# Cost:       a step takes 1.4 times the processor time of vit-demo_scenes.py's. Expected: not yet measured.
# Command:    python tools/make_scenes.py && python tools/train.py configs/densecl_pp/vit-demo_reconstruction_scenes.py
_base_ = './vit-demo_scenes.py'
model = dict(
    loss_gamma=0.1,  # ours
    decoder=dict(type='ConvDecoder', widths=(32, 16, 8)),  # ours: a doubling a stage for patches of 8 px
)
# vis_data/vis_image/reconstruction_*.png in the run's folder
custom_hooks = [dict(type='ReconstructionHook', interval=2)]
