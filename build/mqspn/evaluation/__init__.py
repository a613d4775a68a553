"""Score a checkpoint or a server on annotated posts, analyse its errors, tune its decoding."""

from typing import Literal

__all__ = ["Metric"]

#: The F1 that `mqspn tune` raises.
Metric = Literal["gmner", "mner"]
