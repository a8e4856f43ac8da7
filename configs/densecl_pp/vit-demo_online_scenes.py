# The demo's pretraining with DenseCL++, evaluated as it goes: linear probe, k-NN and dense probe every second epoch.
#
# Reproduces: nothing published; shows online evaluation, which changes nothing in the training (a test proves it).
# Cost:       that of vit-demo_scenes.py and a seventh more; every run logs its own (online/*_cost_percent).
# Command:    python tools/make_scenes.py && python tools/train.py configs/densecl_pp/vit-demo_online_scenes.py
_base_ = ['./vit-demo_scenes.py', '../_base_/online_evaluation_scenes.py']
