"""Why an engine cannot be made.

    EngineError
    ├── BuilderMissingError    the package that builds engines, or one that converts, is not here
    ├── GraphError             the graph does not go through the builder, or is not its model's
    ├── PrecisionError         a graph that does not go to the lower precision
    └── GateError              an engine or a graph answers other than the FP32 graph

Every message says what to change and stands on its own: a command line prints it and exits.
"""

from __future__ import annotations

from mqspn.errors import BuildError

__all__ = [
    "BuilderMissingError",
    "EngineError",
    "GateError",
    "GraphError",
    "PrecisionError",
]


class EngineError(BuildError):
    """An engine cannot be made; the message says what to change."""


class BuilderMissingError(EngineError):
    """The Python package that builds engines or converts graphs is missing or too old."""


class GraphError(EngineError):
    """The builder does not take the graph, or its tensors are not what serving sends."""


class PrecisionError(EngineError):
    """A graph cannot be converted to the precision."""


class GateError(EngineError):
    """A graph or an engine is further from the FP32 graph than its gate allows."""
