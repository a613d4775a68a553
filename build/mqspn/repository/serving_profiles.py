"""The serving profiles: which of its configurations Triton serves a model repository with.

The ranges of shapes of an engine's inputs are something else: `mqspn.repository.shape_profiles`.
"""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["SERVING_PROFILES", "ServingProfile"]

#: "cpu" and "cuda" are ONNX Runtime (`configs/<profile>.pbtxt`), "gpu" TensorRT plans
#: (`config.pbtxt`).
ServingProfile = Literal["cpu", "cuda", "gpu"]
SERVING_PROFILES: tuple[ServingProfile, ...] = get_args(ServingProfile)
