"""What is decayed, and how the learning rate runs."""

from __future__ import annotations

import pytest
from mqspn.settings import StageSettings
from mqspn.training.loop.optimiser import build_optimiser, learning_rate_factor, set_learning_rate
from torch import nn


def test_one_dimensional_parameters_are_not_decayed() -> None:
    module = nn.ModuleDict({"a": nn.Linear(2, 3), "norm": nn.LayerNorm(3), "b": nn.Linear(3, 1)})
    optimiser = build_optimiser(
        [
            {"params": list(module["a"].parameters()), "lr": 0.5},
            {"params": [*module["norm"].parameters(), *module["b"].parameters()]},
        ],
        StageSettings(learning_rate=0.1, weight_decay=0.3),
    )
    names = {id(p): name for name, p in module.named_parameters()}
    found = {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in optimiser.param_groups
        for p in group["params"]
    }
    assert found == {
        "a.weight": (0.5, 0.3),
        "a.bias": (0.5, 0.0),
        "norm.weight": (0.1, 0.0),
        "norm.bias": (0.1, 0.0),
        "b.weight": (0.1, 0.3),
        "b.bias": (0.1, 0.0),
    }
    assert optimiser.defaults["fused"]
    set_learning_rate(optimiser, 0.5)
    set_learning_rate(optimiser, 0.2)  # of the base, not of what it was
    rates = [group["lr"] for group in optimiser.param_groups]
    assert rates == pytest.approx([0.1, 0.1, 0.02, 0.02])


def test_the_learning_rate_rises_and_falls() -> None:
    factors = [learning_rate_factor(step, total=100, warmup=0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9] == 1.0
    assert factors[:10] == sorted(factors[:10])
    assert factors[9:] == sorted(factors[9:], reverse=True)
    assert 0 < factors[99] < 0.02
