"""The token loss: its labels by hand, and that it reaches the text encoder and only it."""

from __future__ import annotations

import math

import torch
from mqspn.training.set_prediction.examples import Target
from mqspn.training.set_prediction.token_loss import TokenLoss, token_labels


def target(*entities: tuple[int, int, int]) -> Target:
    """Entities as (type from 1, first token, last token)."""
    types, starts, ends = (
        torch.tensor([e[i] for e in entities], dtype=torch.int64) for i in range(3)
    )
    return Target(types, starts, ends, torch.zeros(len(entities), 2))


def test_labels_by_hand() -> None:
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0, 0]], dtype=torch.int32)
    labels = token_labels(mask, [target((1, 1, 2), (4, 3, 3)), target()])
    assert labels.tolist() == [[0, 1, 2, 7, 0, 0, -100], [0, 0, 0, -100, -100, -100, -100]]


def test_adjacent_entities_of_one_type_stay_two() -> None:
    mask = torch.ones(1, 5, dtype=torch.int32)
    labels = token_labels(mask, [target((2, 1, 2), (2, 3, 3))])
    assert labels.tolist() == [[0, 3, 4, 3, 0]]


def test_the_loss_is_the_mean_over_real_tokens() -> None:
    loss = TokenLoss(width=4, types=2)
    torch.nn.init.zeros_(loss.classify.weight)
    torch.nn.init.zeros_(loss.classify.bias)
    states = torch.randn(2, 3, 4)
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]], dtype=torch.int32)
    value = loss(states, mask, [target((1, 1, 1)), target()])
    assert math.isclose(value.item(), math.log(5), rel_tol=1e-6)


def test_padding_and_posts_without_entities_are_harmless() -> None:
    loss = TokenLoss(width=4, types=2)
    states = torch.randn(1, 3, 4, requires_grad=True)
    mask = torch.tensor([[1, 1, 0]], dtype=torch.int32)
    loss(states, mask, [target()]).backward()
    assert states.grad is not None
    assert states.grad[0, :2].abs().sum() > 0
    assert states.grad[0, 2].abs().sum() == 0
