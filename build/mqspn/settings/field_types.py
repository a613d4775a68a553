"""What all sections share: how strictly a value is read, and the kinds of numbers.

A setting is declared once, as a field of its section: type, default, bound, and a description that
says its effect, its unit and when to change it. From there come the checks, the messages of a
refusal (`mqspn.settings.refusal`) and `docs/settings.md` (`mqspn.settings.reference`).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

__all__ = ["STRICT", "Number", "Positive", "read_number"]

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


_READ = BeforeValidator(read_number)
Number = Annotated[float, _READ]
#: Above 0, as an element of a list.
Positive = Annotated[float, Field(gt=0), _READ]
