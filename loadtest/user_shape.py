"""Let the number of users follow a shape, in the closed loop."""

from __future__ import annotations

from typing import Any

from arrivals import SHAPES, level_at
from locust import LoadTestShape

__all__ = ["UserShape"]


class UserShape(LoadTestShape):  # type: ignore[misc]
    """``users`` is the shape's highest number; the test ends after ``seconds``."""

    use_common_options = True

    def __init__(self, shape: str, *, users: int, seconds: float) -> None:
        super().__init__()
        self._points, self._users, self._seconds = SHAPES[shape], users, seconds

    def tick(self) -> Any:
        """Give the number of users that there are to be now, and how fast they come."""
        place = self.get_run_time() / self._seconds
        if place >= 1:
            return None
        users = max(1, round(self._users * level_at(self._points, place)))
        return users, max(1.0, float(self._users))
