"""What a Python user calls. Light to import: mmengine loads with the first name asked for."""

from importlib import import_module

__all__ = [
    'ExtractedFeatures',
    'ImageMatches',
    'PretrainedBackbone',
    'browse',
    'demo',
    'diagnose',
    'diagnose_all',
    'estimate',
    'evaluate',
    'export',
    'extract',
    'load_backbone',
    'match',
    'study',
    'test',
    'train',
    'trusting',
    'visualize',
]
_MODULES = {
    'train': '.training',
    'test': '.testing',
    'browse': '.browsing',
    'demo': '.demonstration',
    'diagnose': '.diagnosis.diagnose',
    'diagnose_all': '.diagnosis.diagnose',
    'estimate': '.estimating.estimate',
    'evaluate': '.evaluation.suite',
    'ExtractedFeatures': '.embedding',
    'ImageMatches': '.embedding',
    'PretrainedBackbone': '.embedding',
    'export': '.exporting.export',
    'extract': '.embedding',
    'load_backbone': '.embedding',
    'match': '.embedding',
    'study': '.studies.study',
    'trusting': '..utils.checkpoint_files',
    'visualize': '.visualizing.visualize',
}


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_MODULES[name], __name__), name)
