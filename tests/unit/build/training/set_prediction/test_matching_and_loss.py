"""Matching finds the cheapest assignment; the loss falls where predictions are right."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from mqspn.network.query_decoder import SetPrediction
from mqspn.settings import LossSettings
from mqspn.training.set_prediction.examples import Target
from mqspn.training.set_prediction.loss import set_prediction_loss
from mqspn.training.set_prediction.matching import match

ONCE = LossSettings(gold_repeats=1)


def make_target(*entities: tuple[int, int, int, list[int]], regions: int = 4) -> Target:
    """Entities as (type, start, end, right regions)."""
    right = torch.zeros(len(entities), regions)
    for row, (*_, indices) in enumerate(entities):
        right[row, indices] = 1.0
    types, starts, ends = (
        torch.tensor([e[i] for e in entities], dtype=torch.int64) for i in range(3)
    )
    return Target(types, starts, ends, right)


def make_prediction(posts: int, queries: int, tokens: int = 6, seed: int = 0) -> SetPrediction:
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random, requires_grad=True)

    return SetPrediction(
        torch.log_softmax(draw(posts, queries, 5), dim=-1),
        draw(posts, queries, tokens),
        draw(posts, queries, tokens),
        draw(posts, queries, 4),
    )


def cost_of(prediction: SetPrediction, post: int, query: int, target: Target, gold: int) -> float:
    types, starts, ends, regions = (p.detach() for p in prediction.probabilities())
    right = target.regions[gold] > 0
    return -2.0 * float(
        types[post, query, target.types[gold]]
        + starts[post, query, target.starts[gold]]
        + ends[post, query, target.ends[gold]]
        + regions[post, query, right].max()
    )


@pytest.mark.parametrize("seed", range(5))
def test_assignment_is_the_cheapest_of_all(seed: int) -> None:
    prediction = make_prediction(1, 4, seed=seed)
    target = make_target((1, 0, 1, [0]), (3, 2, 2, [1, 2]), (4, 3, 5, [3]))
    posts, queries, golds = match(prediction, [target], ONCE)
    assert posts.tolist() == [0, 0, 0]
    found = sum(
        cost_of(prediction, 0, q, target, g)
        for q, g in zip(queries.tolist(), golds.tolist(), strict=True)
    )
    best = min(
        sum(cost_of(prediction, 0, q, target, g) for g, q in enumerate(chosen))
        for chosen in itertools.permutations(range(4), 3)
    )
    assert found == pytest.approx(best, abs=1e-5)


def test_gold_set_is_repeated_up_to_the_limit() -> None:
    target = make_target((1, 0, 1, [0]), (3, 2, 2, [1]))
    _, queries, golds = match(make_prediction(1, 8), [target], LossSettings(gold_repeats=6))
    assert sorted(golds.tolist()) == [0, 0, 0, 1, 1, 1]
    assert len(set(queries.tolist())) == 6


def test_without_bipartite_matching_gold_is_dealt_in_order() -> None:
    target = make_target((1, 0, 1, [0]), (3, 2, 2, [1]))
    settings = LossSettings(gold_repeats=4, bipartite=False)
    _, queries, golds = match(make_prediction(1, 8), [target], settings)
    assert queries.tolist() == [0, 1, 2, 3]
    assert golds.tolist() == [0, 1, 0, 1]


def test_more_entities_than_queries_is_survived() -> None:
    target = make_target(*[(1, i, i, [0]) for i in range(5)])
    _, queries, _ = match(make_prediction(1, 3), [target], LossSettings())
    assert len(set(queries.tolist())) == 3


def test_posts_keep_their_own_gold() -> None:
    empty = make_target()
    one, two = make_target((1, 0, 0, [0])), make_target((2, 1, 1, [1]), (3, 4, 4, [2]))
    posts, _, golds = match(make_prediction(4, 4), [one, empty, two, empty], ONCE)
    assert posts.tolist() == [0, 2, 2]
    assert sorted(golds.tolist()) == [0, 0, 1]


def perfect(target: Target, queries: int, tokens: int) -> SetPrediction:
    """One query says each entity, the others "no entity", all with near certainty."""
    types = torch.full((1, queries, 5), -20.0)
    starts, ends = torch.full((2, 1, queries, tokens), -20.0).unbind(0)
    starts, ends = starts.clone(), ends.clone()
    regions = torch.full((1, queries, target.regions.shape[1]), -20.0)
    types[0, :, 0] = 20.0
    for q in range(len(target.types)):
        types[0, q, 0] = -20.0
        types[0, q, target.types[q]] = 20.0
        starts[0, q, target.starts[q]] = 20.0
        ends[0, q, target.ends[q]] = 20.0
        regions[0, q, target.regions[q] > 0] = 20.0
    return SetPrediction(torch.log_softmax(types, dim=-1), starts, ends, regions)


def test_a_perfect_prediction_costs_nothing_and_each_fault_costs() -> None:
    target = make_target((1, 0, 1, [0]), (3, 2, 4, [1, 2]))
    right = perfect(target, 4, 6)
    assert set_prediction_loss([right], [target], ONCE)["loss"].item() < 1e-6
    wrong_type = perfect(replace(target, types=torch.tensor([2, 3])), 4, 6)
    wrong_start = perfect(replace(target, starts=torch.tensor([1, 2])), 4, 6)
    wrong_region = perfect(replace(target, regions=target.regions.flip(0)), 4, 6)
    for fault, part in ((wrong_type, "type"), (wrong_start, "boundary"), (wrong_region, "region")):
        losses = set_prediction_loss([fault], [target], ONCE)
        assert losses[part].item() > 1.0
        assert losses["loss"].item() > 1.0


def test_every_layer_counts() -> None:
    target = make_target((1, 0, 1, [0]))
    layer = make_prediction(1, 4)
    once = set_prediction_loss([layer], [target], ONCE)["loss"]
    twice = set_prediction_loss([layer, layer], [target], ONCE)["loss"]
    assert twice.item() == pytest.approx(2 * once.item(), rel=1e-6)


def test_no_entity_weight_is_the_papers() -> None:
    prediction = make_prediction(2, 4)
    target, empty = make_target((1, 0, 1, [0])), make_target()
    _, queries, _ = match(prediction, [target, empty], ONCE)
    log_probs = prediction.type_log_probs.detach().numpy()
    N, BQ = 1, 8
    total = -log_probs[0, queries[0], 1]
    rest = [(b, q) for b in range(2) for q in range(4) if (b, q) != (0, int(queries[0]))]
    total += N / (BQ - N) * sum(-log_probs[b, q, 0] for b, q in rest)
    found = set_prediction_loss([prediction], [target, empty], ONCE)["type"]
    assert found.item() == pytest.approx(total.item() / N, rel=1e-5)


def test_a_batch_without_entities_gives_finite_gradients() -> None:
    leaves = [
        torch.randn(s, requires_grad=True) for s in ((2, 4, 5), (2, 4, 6), (2, 4, 6), (2, 4, 4))
    ]
    prediction = SetPrediction(torch.log_softmax(leaves[0], -1), *leaves[1:])
    loss = set_prediction_loss([prediction], [make_target(), make_target()], ONCE)["loss"]
    loss.backward()
    assert np.isfinite(loss.item())
    assert leaves[0].grad.abs().sum().item() > 0


def test_the_existence_form_never_asks_a_query_for_another_type() -> None:
    """Queries 0 and 1 can only say type 1, queries 2 and 3 only type 2."""
    types = torch.full((1, 4, 5), -1e4)
    types[0, :, 0] = -0.7
    types[0, :2, 1] = -0.7
    types[0, 2:, 2] = -0.7
    leaf = types.requires_grad_()
    rest = make_prediction(1, 4)
    prediction = SetPrediction(leaf, rest.start_logits, rest.end_logits, rest.region_logits)
    target = make_target((2, 1, 1, [0]))
    for bipartite in (True, False):
        settings = LossSettings(gold_repeats=4, bipartite=bipartite)
        _, queries, golds = match(prediction, [target], settings)
        assert sorted(queries.tolist()) == [2, 3]
        assert golds.tolist() == [0, 0]
        assert set_prediction_loss([prediction], [target], settings)["type"].item() < 10


def test_a_diverged_prediction_is_matched_all_the_same() -> None:
    prediction = make_prediction(1, 4)
    with torch.no_grad():
        prediction.start_logits.fill_(float("nan"))
    _, queries, _ = match(prediction, [make_target((1, 0, 1, [0]))], ONCE)
    assert len(queries) == 1
    loss = set_prediction_loss([prediction], [make_target((1, 0, 1, [0]))], ONCE)["loss"]
    assert not torch.isfinite(loss)
