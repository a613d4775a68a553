"""Why a model repository cannot be made, or may not be served.

    mqspn.errors.BuildError
    └── RepositoryError            it cannot be written, or its settings fit nothing
        ├── GraphMismatchError     a graph is not the one its model was specified for
        ├── PlanError              a plan that is absent, or of another graph, version or GPU
        └── ShapeProfileError      an open axis without a range of sizes, or a range that is none

Every message says what to change and stands on its own: a command line prints it and exits.
"""

from __future__ import annotations

from mqspn.errors import BuildError

__all__ = ["GraphMismatchError", "PlanError", "RepositoryError", "ShapeProfileError"]


class RepositoryError(BuildError):
    """A model repository cannot be made or served; the message says what to change."""


class GraphMismatchError(RepositoryError):
    """A graph does not fit the model it was exported for; the message lists every difference."""


class PlanError(RepositoryError):
    """A plan is absent, or was made of another graph, by another version or for another GPU."""


class ShapeProfileError(RepositoryError):
    """An input's open axes have no range of sizes, or one that cannot be."""
