"""The config that a checkpoint holds, read as data.

mmengine writes it as a Python file of plain values, and reads it by running it: a program in the place of a config, or
a ``type`` that names any function, would be run with it. Of checkpoints that are not trusted
(:func:`~mmdclpp.utils.checkpoint_files.trusting`), only values are read, and only registered parts are built.
"""

import ast
from contextlib import suppress
from typing import Any, Dict, List, Tuple

from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.utils import import_modules_from_strings

from mmdclpp.errors import UserError
from mmdclpp.registry import MODELS, TRANSFORMS, WEIGHT_INITIALIZERS
from mmdclpp.utils.checkpoint_files import trusted
from mmdclpp.utils.files import printable

_REGISTRIES = (MODELS, TRANSFORMS, WEIGHT_INITIALIZERS)  # of what is built from a checkpoint's config


def config_of(file: str, meta: Dict[str, Any]) -> Config:
    """The config that a checkpoint's ``meta`` holds; a UserError says what to do where there is none.

    The modules that its ``custom_imports`` name are imported, where Python finds them.
    """
    text = meta.get('cfg')
    if not isinstance(text, str) or not text.strip():
        raise UserError(
            f'checkpoint {printable(file)} does not hold the config of its model: name it with --config FILE, or the '
            'architecture with --backbone timm:NAME or mmpretrain:NAME'
        )
    try:
        return _as_program(text) if trusted() else _as_data(text)
    except _Program as error:
        raise UserError(
            f'checkpoint {printable(file)}: its own config holds code ({error}): add --trust if you trust who made it, '
            'or name another config with --config FILE'
        ) from error
    except Exception as error:  # whatever the text of a broken config, or a module it names, makes Python raise
        raise UserError(
            f'checkpoint {printable(file)}: its own config cannot be read ({type(error).__name__}: '
            f'{str(error).strip().partition(chr(10))[0]}): name one with --config FILE'
        ) from error


def require_registered(part: Any, file: str) -> None:
    """Raise a UserError if something in a part of a checkpoint's config names a function or class that is no part.

    Args:
        part (dict or list): A part that is to be built, with all that it contains.
        file (str): The checkpoint.
    """
    if isinstance(part, (list, tuple)):
        for entry in part:
            require_registered(entry, file)
    if not isinstance(part, dict):
        return
    require_registered(list(part.values()), file)
    name = part.get('type')
    # A name without a dot is looked up in registries; one with dots, mmengine then takes for the path of any function.
    if isinstance(name, str) and '.' in name and not trusted():
        found = [kind for kind in (_get(registry, name) for registry in _REGISTRIES) if kind is not None]
        registered = {id(kind) for registry in _REGISTRIES for kind in _all_of(registry.root)}
        if not all(id(kind) in registered for kind in found):
            raise UserError(
                f'checkpoint {printable(file)}: its own config names {name!r}, which is registered as no part of a '
                'model: add --trust if you trust who made it, or name another config with --config FILE'
            )


def _get(registry: Registry, name: str) -> Any:
    try:
        return registry.get(name)
    except Exception:  # of a name that is none, or a module that cannot be imported: who builds it will say so
        return None


def _all_of(registry: Registry) -> List[Any]:
    found = list(registry.module_dict.values())
    for children in registry.children.values():
        for child in children if isinstance(children, list) else [children]:
            found += _all_of(child)
    return found


class _Program(ValueError):
    """What is no plain value; the message shows it."""


def _as_program(text: str) -> Config:
    try:
        return Config.fromstring(text, '.py')
    except ImportError:  # of its custom_imports, which a backbone that is ours or mmpretrain's can do without
        return Config.fromstring(f'{text}\ncustom_imports = None\n', '.py')


def _as_data(text: str) -> Config:
    values: Dict[str, Any] = {}
    for statement in ast.parse(text).body:
        if not isinstance(statement, ast.Assign):
            raise _Program(_shown(statement))
        for target in statement.targets:
            place, key = _place(target, values)
            place[key] = _value(statement.value)
    cfg = Config(values, format_python_code=False)
    with suppress(ImportError):  # as above
        import_modules_from_strings(**(cfg.get('custom_imports') or dict(imports=[])))
    return cfg


def _place(target: ast.AST, values: Dict[str, Any]) -> Tuple[Any, Any]:
    """Where to put a value: ``name``, or ``name['key']``, as exports change a config."""
    if isinstance(target, ast.Name):
        return values, target.id
    if not isinstance(target, ast.Subscript):
        raise _Program(_shown(target))
    place, key = _place(target.value, values)
    return place[key], _value(target.slice)


def _value(node: ast.AST) -> Any:
    """The value of a literal, in which ``dict(key=value)`` is one."""
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, ast.List):
        return [_value(entry) for entry in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(entry) for entry in node.elts)
    if isinstance(node, ast.Call) and not node.args and getattr(node.func, 'id', None) == 'dict':
        if all(keyword.arg is not None for keyword in node.keywords):
            return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise _Program(_shown(node)) from None


def _shown(node: ast.AST) -> str:
    return ' '.join(ast.unparse(node).split())[:60]
