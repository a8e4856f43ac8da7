"""What property-based tests share: budgets, and changes to nested data and bytes."""

import copy
from typing import Any, List, Tuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

_OPTIONS = dict(derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
# The same examples each time: what fails once fails again, and a test that passes is no matter of luck.
FAST, SOAK = settings(max_examples=150, **_OPTIONS), settings(max_examples=3000, **_OPTIONS)
BUDGETS = [pytest.param(FAST, id='fast'), pytest.param(SOAK, id='soak', marks=pytest.mark.soak)]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(
        [10**30, -(10**30), 0.5, 1e999, -1e999, float('nan'), '', '0', 'a', '\0', '../..', '\ud800', 'x' * 300]
    ),
    st.text(max_size=4),
)
ODD_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def places(content: Any, at: Tuple = ()) -> List[Tuple]:
    """The paths to all values within nested dicts and lists."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place for key, value in inner for place in ((*at, key), *places(value, (*at, key)))]


def mutated(draw: Any, content: Any, values: Any = ODD_VALUES, kept: Tuple = ()) -> Any:
    """A copy of nested data with one to three changes: a value replaced, taken out, or doubled; ``kept`` keys stay."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        found = [place for place in places(content) if not {*place} & {*kept}]
        if not found:
            break
        *path, key = draw(st.sampled_from(found))
        owner = content
        for part in path:
            owner = owner[part]
        how = draw(st.sampled_from(['replace', 'replace', 'delete', 'double', 'swap']))
        if how == 'replace':
            owner[key] = draw(values)
        elif how == 'delete':
            del owner[key]
        elif how == 'double' and isinstance(owner, list):
            owner.append(copy.deepcopy(owner[key]))
        else:
            other = content
            for part in draw(st.sampled_from(found)):
                other = other[part] if isinstance(other, (dict, list)) and _has(other, part) else other
            owner[key] = copy.deepcopy(other)
    return content


def _has(owner: Any, part: Any) -> bool:
    return part in owner if isinstance(owner, dict) else isinstance(part, int) and part < len(owner)


def damaged(draw: Any, data: bytes) -> bytes:
    """Bytes that are cut off, changed in some places, or have others put in."""
    changed = bytearray(data)
    how = draw(st.sampled_from(['cut', 'flip', 'insert', 'cut the start', 'noise']))
    place = draw(st.integers(0, max(len(data) - 1, 0)))
    if how == 'cut':
        del changed[place:]
    elif how == 'cut the start':
        del changed[:place]
    elif how == 'insert':
        changed[place:place] = draw(st.binary(max_size=20))
    elif how == 'noise':
        changed = bytearray(draw(st.binary(max_size=200)))
    else:
        for _ in range(draw(st.integers(1, 8))):
            changed[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(changed)
