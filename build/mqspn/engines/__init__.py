"""TensorRT engines: a repository's graphs compiled, compared with FP32, and refused elsewhere."""

from mqspn.engines.errors import EngineError

__all__ = ["EngineError"]
