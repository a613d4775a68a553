"""The serving profiles: which of its configurations Triton serves a model repository with."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["SERVING_PROFILES", "ServingProfile"]

#: "cpu" and "cuda" are ONNX Runtime (`configs/<profile>.pbtxt`), "gpu" TensorRT plans
#: (`config.pbtxt`).
ServingProfile = Literal["cpu", "cuda", "gpu"]
SERVING_PROFILES: tuple[ServingProfile, ...] = get_args(ServingProfile)
