"""What a Python user calls. Light to import: mmengine loads with the first function asked for."""

from importlib import import_module

__all__ = ['demo', 'diagnose', 'diagnose_all', 'evaluate', 'study', 'test', 'train']
_MODULES = {
    'train': '.training',
    'test': '.testing',
    'demo': '.demonstration',
    'diagnose': '.diagnosis.diagnose',
    'diagnose_all': '.diagnosis.diagnose',
    'evaluate': '.evaluation.suite',
    'study': '.studies.study',
}


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_MODULES[name], __name__), name)
