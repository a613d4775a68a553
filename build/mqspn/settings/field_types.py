"""What all sections share: how strictly a value is read, and the kinds of numbers.

A setting is declared once, as a field of its section: type, default, bound, and a description that
says its effect, its unit and when to change it. From there come the checks, the messages of a
refusal (`mqspn.settings.refusal`) and `docs/settings.md` (`mqspn.settings.reference`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from mqspn.settings.refusal import shown

__all__ = ["STRICT", "FreeMapping", "Number", "Positive", "read_number"]

#: Text is no number, a boolean is no number, and an unknown key is refused.
STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def read_number(value: Any) -> Any:
    """A number where ``value`` is text that writes one: YAML reads 1e-4 as text."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _check_finite(mapping: dict[str, Any]) -> dict[str, Any]:
    for key, value in _leaves(mapping):
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{key} must be a finite number, not {shown(value)}")
    return mapping


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Each value that is no mapping and no list, by its dotted key."""
    if isinstance(value, (dict, list, tuple)):
        for part, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, f"{key}.{part}".lstrip("."))
    else:
        yield key, value


_READ = BeforeValidator(read_number)
Number = Annotated[float, _READ]
#: Above 0, as an element of a list.
Positive = Annotated[float, Field(gt=0), _READ]
#: Keys that are not ours; JSON has no number that is not finite.
FreeMapping = Annotated[dict[str, Any], AfterValidator(_check_finite)]
