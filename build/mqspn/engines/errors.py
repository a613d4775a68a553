"""Why an engine cannot be made, or may not be served.

    EngineError
    ├── BuilderMissingError    the package that builds engines, or one that converts, is not here
    ├── GraphError             the graph does not go through the builder, or is not its model's
    ├── ProfileError           an open axis without a range, or a range that is none
    ├── PrecisionError         a graph that does not go to the lower precision
    ├── GateError              an engine or a graph answers other than the FP32 graph
    └── PlanError              a plan that is absent, or of another graph, version or GPU

Every message says what to change and stands on its own: a command line prints it and exits.
"""

from __future__ import annotations

__all__ = [
    "BuilderMissingError",
    "EngineError",
    "GateError",
    "GraphError",
    "PlanError",
    "PrecisionError",
    "ProfileError",
]


class EngineError(ValueError):
    """An engine cannot be made or served; the message says what to change."""


class BuilderMissingError(EngineError):
    """The Python package that builds engines or converts graphs is missing or too old."""


class GraphError(EngineError):
    """The builder does not take the graph, or its tensors are not what serving sends."""


class ProfileError(EngineError):
    """An input's open axes have no range of sizes, or one that cannot be."""


class PrecisionError(EngineError):
    """A graph cannot be converted to the precision."""


class GateError(EngineError):
    """A graph or an engine is further from the FP32 graph than its gate allows."""


class PlanError(EngineError):
    """A plan is absent, or was made of another graph, by another version or for another GPU."""
