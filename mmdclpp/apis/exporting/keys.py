"""The names of weights in other libraries."""

import re
from typing import Dict, Iterable, Sequence, Tuple

from mmdclpp.errors import UserError

# A pattern of our keys, and the key in the other library; several if it has equal parts of a weight by themselves.
Rules = Sequence[Tuple[str, Sequence[str]]]
# What each of our keys is called there, as mmdclpp.utils.safetensors_file has it.
Names = Dict[str, Tuple[str, ...]]


def rename(keys: Iterable[str], rules: Rules, to: str) -> Names:
    """Find what each key is called in another library.

    Args:
        keys (Iterable[str]): Our keys.
        rules (Rules): Of several that fit the whole of a key, the first counts.
        to (str): The library, for messages.

    Returns:
        Names: One entry a key.

    Raises:
        UserError: If no rule fits a key, or two keys would have one name.
    """
    names = {}
    for key in keys:
        for pattern, templates in rules:
            if match := re.fullmatch(pattern, key):
                names[key] = tuple(match.expand(template) for template in templates)
                break
        else:
            raise UserError(f'to={to}: there is no weight like {key}: export to another library')
    taken = [name for parts in names.values() for name in parts]
    twice = sorted({name for name in taken if taken.count(name) > 1})
    if twice:
        raise UserError(f'to={to}: two weights would be called {twice[0]}: export to another library')
    return names
