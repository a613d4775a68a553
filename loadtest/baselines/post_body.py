"""How a post is sent to the baselines: JSON, with the image in base64."""

from __future__ import annotations

import base64

from pydantic import BaseModel

__all__ = ["PostBody"]


class PostBody(BaseModel):
    """A post in JSON; ``image``: an encoded file in base64, null for a text-only post."""

    text: str
    image: str | None = None

    def decoded(self) -> tuple[str, bytes]:
        """Return text and encoded image; no bytes without one."""
        return self.text, base64.b64decode(self.image) if self.image else b""
