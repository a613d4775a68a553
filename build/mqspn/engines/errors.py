"""Why an engine cannot be made.

    mqspn.errors.BuildError
    └── EngineError
        ├── CompileSettingsError   settings that do not go together, layers or posts there are not
        ├── BuilderMissingError    a package that builds engines or converts graphs is not here
        ├── GraphError             a graph that is absent, not its model's, or cannot be built
        ├── PrecisionError         a graph that does not go to the lower precision
        └── GateError              an engine or a graph answers other than the FP32 graph

A model repository that does not fit raises `mqspn.repository.errors.RepositoryError`s besides.

Every message says what to change and stands on its own: a command line prints it and exits.
"""

from __future__ import annotations

from mqspn.errors import BuildError

__all__ = [
    "BuilderMissingError",
    "CompileSettingsError",
    "EngineError",
    "GateError",
    "GraphError",
    "PrecisionError",
]


class EngineError(BuildError):
    """An engine cannot be made; the message says what to change."""


class CompileSettingsError(EngineError):
    """Settings contradict each other, or name layers or posts that are not there."""


class BuilderMissingError(EngineError):
    """The Python package that builds engines or converts graphs is missing or too old."""


class GraphError(EngineError):
    """A graph is absent or unreadable, or the builder does not take it for its model."""


class PrecisionError(EngineError):
    """A graph cannot be converted to the precision."""


class GateError(EngineError):
    """A graph or an engine is further from the FP32 graph than its gate allows."""
