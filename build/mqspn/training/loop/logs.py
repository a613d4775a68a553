"""A run's curves for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["TrainingLogs"]


class TrainingLogs:
    """Writes event files in ``folder``, their tags under the stage's name.

    ``first_step``: where a resumed stage goes on; what a kill left behind that is dropped.
    """

    def __init__(self, folder: Path, stage: str, *, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import

        self.stage = stage
        self._writer = SummaryWriter(str(folder / stage), purge_step=first_step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point at ``step`` to the curve of each value."""
        for name, value in values.items():
            self._writer.add_scalar(f"{self.stage}/{name}", value, step)

    def close(self) -> None:
        self._writer.close()
