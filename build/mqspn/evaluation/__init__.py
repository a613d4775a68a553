"""Metrics of grounded multimodal named entity recognition and what they are measured on."""

from typing import Literal

__all__ = ["Metric"]

#: The F1 that `mqspn tune` raises.
Metric = Literal["gmner", "mner"]
