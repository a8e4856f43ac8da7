"""JSON that every reader takes."""

import json
import math
from typing import Any, Mapping


def strict_json(value: Any) -> str:
    """Indented JSON with null for the numbers that JSON does not have: NaN and the infinities."""
    return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
