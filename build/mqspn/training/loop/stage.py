"""What a training stage is: the parts that learn, the batches they learn from, their loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from mqspn.settings import StageSettings
from mqspn.training.errors import RunFolderError, TrainingError
from mqspn.training.loop.batching import draw_batches

__all__ = ["BatchT", "Stage"]

BatchT = TypeVar("BatchT")


class Stage(nn.Module, ABC, Generic[BatchT]):
    """The module that `mqspn.training.loop.trainer.Trainer` trains; a subclass says on what.

    A subclass gives `batch`, `loss` and `parameter_groups`, and where it needs them
    `frozen_parts`, `before_epoch` and `score`.

    Args:
        name: of its files, its curves and its settings, as in ``training.<name>.epochs``.
        settings: how it learns.
        seed: the run's.
        items: how many items an epoch goes through.
        batch_items: how many of them at a time, over all processes.
        lengths: (items,) int64, where batches are to be of like length.
        scored: whether `score` measures it. The best epoch's weights are then kept (of equals the
            last), else the last one's.
        patience_from: so many epochs do not count against patience.

    Raises TrainingError for a patience without a score to measure it by.
    """

    def __init__(
        self,
        *,
        name: str,
        settings: StageSettings,
        seed: int,
        items: int,
        batch_items: int,
        lengths: NDArray[np.int64] | None = None,
        scored: bool = False,
        patience_from: int = 0,
    ) -> None:
        super().__init__()
        if settings.patience and not scored:
            raise TrainingError(
                f"training.{name}.patience needs a score on dev, and this stage has none "
                "with these data; set it to 0"
            )
        self.name = name
        self.settings = settings
        self.seed = seed
        self.items = items
        self.batch_items = batch_items
        self.lengths = lengths
        self.scored = scored
        self.patience_from = patience_from

    @abstractmethod
    def batch(self, epoch: int, items: NDArray[np.int64]) -> BatchT:
        """Make the batch of ``items`` in ``epoch``, on the CPU."""

    @abstractmethod
    def loss(self, batch: BatchT) -> dict[str, Tensor]:
        """Compute the scalars of a batch: "loss", which is minimised, and others to be logged."""

    def forward(self, batch: BatchT) -> dict[str, Tensor]:
        """Compute `loss`, under the name that the processes' wrapping and mixed precision call."""
        return self.loss(batch)

    @abstractmethod
    def parameter_groups(self) -> list[dict[str, Any]]:
        """List what learns, see `mqspn.training.loop.optimiser.build_optimiser`."""

    def frozen_parts(self) -> Sequence[nn.Module]:
        """List the parts that stay in evaluation mode, learn nothing and are not kept."""
        return ()

    def before_epoch(self, epoch: int) -> None:
        """Freeze or thaw what learns in ``epoch``, before its first batch."""

    def score(self) -> Mapping[str, float]:
        """Measure the stage after an epoch, in one process: "score", higher being better."""
        raise TypeError(f"{self.name} is not scored")

    def batches(self, epoch: int, processes: int) -> list[NDArray[np.int64]]:
        """Draw the items of each batch of ``epoch``, over all processes."""
        random = np.random.default_rng([self.seed, epoch])
        try:
            return draw_batches(
                self.items, self.batch_items, random, lengths=self.lengths, processes=processes
            )
        except ValueError as error:  # too few items for all processes
            raise TrainingError(str(error)) from error

    def kept_weights(self) -> dict[str, Tensor]:
        """Every parameter and buffer that is not in a frozen part."""
        frozen = {id(part) for part in self.frozen_parts()}
        prefixes = tuple(f"{name}." for name, part in self.named_modules() if id(part) in frozen)
        return {k: v for k, v in self.state_dict().items() if not k.startswith(prefixes)}

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Take `kept_weights`, all of them; RunFolderError where they are another network's."""
        own = self.kept_weights()
        if own.keys() != weights.keys() or any(own[k].shape != w.shape for k, w in weights.items()):
            raise RunFolderError(
                f"the saved state of {self.name} is another network's; name another --run folder"
            )
        self.load_state_dict(weights, strict=False)
