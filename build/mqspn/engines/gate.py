"""What a gate answers, and the one place where a refusal becomes an error."""

from __future__ import annotations

from typing import Protocol, TypeVar

from mqspn.engines.errors import GateError

__all__ = ["GateResult", "require_passed"]


class GateResult(Protocol):
    """What a gate measured, with its verdict."""

    @property
    def refusal(self) -> str | None:
        """Why this may not be served and what to change; None where it passed."""


Result = TypeVar("Result", bound=GateResult)


def require_passed(result: Result) -> Result:
    """``result`` where it passed; raises GateError with its refusal where it did not."""
    if result.refusal is not None:
        raise GateError(result.refusal)
    return result
