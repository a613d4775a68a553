"""What every stage does alike: its call is its loss, its batches, the weights it keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from mqspn.settings import StageSettings
from mqspn.training.errors import RunFolderError, TrainingError
from mqspn.training.loop.stage import Stage
from numpy.typing import NDArray
from torch import Tensor, nn


class Line(Stage[Tensor]):
    def __init__(self, *, width: int = 2, items: int = 7) -> None:
        super().__init__(
            name="line", settings=StageSettings(epochs=1), seed=3, items=items, batch_items=4
        )
        self.below = nn.Linear(width, width)
        self.above = nn.Linear(width, 1)

    def batch(self, epoch: int, items: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(items)

    def loss(self, batch: Tensor) -> dict[str, Tensor]:
        return {"loss": self.above(self.below(batch)).mean()}

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.above.parameters())}]

    def frozen_parts(self) -> list[nn.Module]:
        return [self.below]


def test_calling_it_gives_its_loss() -> None:
    stage, batch = Line(), torch.ones(3, 2)
    assert torch.equal(stage(batch)["loss"], stage.loss(batch)["loss"])


def test_an_epochs_batches_hold_every_item_once_and_are_the_same_again() -> None:
    batches = Line().batches(1, 1)
    assert sorted(np.concatenate(batches).tolist()) == list(range(7))
    assert all(map(np.array_equal, batches, Line().batches(1, 1)))
    assert not all(map(np.array_equal, batches, Line().batches(2, 1)))


def test_too_few_items_for_all_processes_are_refused() -> None:
    with pytest.raises(TrainingError, match="1 items in batches of 4 are too few for 2 processes"):
        Line(items=1).batches(0, 2)


def test_weights_are_kept_but_for_the_frozen_and_taken_back() -> None:
    first, second = Line(), Line()
    kept = {name: value.clone() for name, value in first.kept_weights().items()}
    assert kept.keys() == {"above.weight", "above.bias"}
    below = second.below.weight.clone()
    second.load_weights(kept)
    assert torch.equal(second.above.weight, first.above.weight)
    assert torch.equal(second.below.weight, below)


def test_another_networks_weights_are_refused() -> None:
    with pytest.raises(RunFolderError, match="the saved state of line is another network's"):
        Line(width=3).load_weights(Line().kept_weights())
