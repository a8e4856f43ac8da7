# What every pretraining run shares: besides all else, a count of broken images, figures of the features, and warnings
# when those collapse.
_base_ = ['./default_runtime.py']
default_hooks = dict(
    broken_images=dict(type='BrokenImagesHook', max_share=0.01),  # docs/data.md; a larger share ends the run
    diagnostics=dict(type='DiagnosticsHook'),  # docs/diagnostics.md; interval=0 switches it off
)
