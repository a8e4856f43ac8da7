# What every pretraining run shares: besides all else, figures of the features and warnings when they collapse.
_base_ = ['./default_runtime.py']
default_hooks = dict(diagnostics=dict(type='DiagnosticsHook'))  # docs/diagnostics.md; interval=0 switches it off
