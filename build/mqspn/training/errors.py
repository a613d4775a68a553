"""Why a training run is refused or ends, each message one line that says what to change.

TrainingError            it cannot begin, or go on, as it was asked to
├── RunFolderError       its --run folder, or its --output, is another's or damaged
└── DivergedError        a loss or a weight is no finite number
"""

from __future__ import annotations

from mqspn.errors import BuildError

__all__ = ["DivergedError", "RunFolderError", "TrainingError"]


class TrainingError(BuildError):
    """A training run that cannot begin, or go on, as it was asked to."""


class RunFolderError(TrainingError):
    """A run's folder or checkpoint that belongs to another run, or is damaged."""


class DivergedError(TrainingError):
    """A loss or a weight that is no finite number: the learning rate is too high."""
