"""The error for a post that cannot be read: a stable code, and a message what to mend."""

from __future__ import annotations

import json

__all__ = ["CODES", "PostError"]

#: The codes callers may rely on.
CODES = (
    "TEXT_NOT_UTF8",
    "IMAGE_UNREADABLE",
    "IMAGE_FORMAT",
    "IMAGE_TOO_LARGE",
    "REGIONS_INVALID",
)


class PostError(ValueError):
    """Raised where one post of a request cannot be read; its neighbours still can."""

    def __init__(self, code: str, message: str) -> None:
        if code not in CODES:
            raise KeyError(f"unknown post error code {code!r}")
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    def to_json(self) -> str:
        """Write the JSON {"code", "message"} that crosses the ensemble in POST_ERROR."""
        return json.dumps({"code": self.code, "message": self.message}, ensure_ascii=False)
