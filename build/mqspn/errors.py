"""The root of what a build-side command refuses, each message one line that says what to change.

    BuildError
    ├── mqspn.files.fingerprint.FingerprintError  a folder that was made of something else
    ├── mqspn.data.errors.DataError               a data set that cannot be read
    ├── mqspn.repository.errors.RepositoryError   a model repository that cannot be made or served
    ├── mqspn.export.errors.ExportError           a graph that differs from PyTorch
    ├── mqspn.engines.errors.EngineError          an engine that cannot be made
    ├── mqspn.serving.errors.ServerError          a server that cannot be started
    └── mqspn.training.errors.TrainingError       a training run that cannot go on

`mqspn` prints a BuildError as one line. Any other exception is a fault of ours and keeps its
traceback.
"""

from __future__ import annotations

__all__ = ["BuildError"]


class BuildError(ValueError):
    """Something the user can mend; the message says what, and stands on its own."""
