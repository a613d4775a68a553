"""The set-prediction loss, on every QFNet layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mqspn.network.query_decoder import SetPrediction
from mqspn.settings import LossSettings
from mqspn.training.loop.processes import mean_over_processes
from mqspn.training.set_prediction.examples import Target
from mqspn.training.set_prediction.matching import match

__all__ = ["set_prediction_loss"]


def set_prediction_loss(
    predictions: Sequence[SetPrediction], targets: Sequence[Target], settings: LossSettings
) -> dict[str, Tensor]:
    """Compute the type, boundary and region loss of every layer, each matched on its own.

    Types: cross-entropy over all queries, "no entity" weighted N / (BQ - N), N the matched pairs.
    Boundaries and regions: binary cross-entropy over matched pairs, summed over positions, divided
    by N. Where processes share a batch, N and BQ are the whole batch's share of each process, so
    that their mean gradient is the whole batch's.

    Args:
        predictions: one a QFNet layer, each of B posts and Q queries:
            ``type_log_probs`` (B, Q, T + 1) float32, index 0 "no entity";
            ``start_logits``, ``end_logits`` (B, Q, L) float32;
            ``region_logits`` (B, Q, R) float32, index 0 the null region.
        targets: B of them, each of N gold entities, N its own:
            ``types`` (N,) int64, 1 to T; ``starts``, ``ends`` (N,) int64, end inclusive;
            ``regions`` (N, R) float32, 1 where a region is a right answer.
        settings: the weights of the three, and what `match` needs.

    Returns float32 scalars: "type", "boundary", "region", each summed over the layers, and "loss",
    their weighted sum.
    """
    totals = {
        name: predictions[0].type_log_probs.new_zeros(()) for name in ("type", "boundary", "region")
    }
    for prediction in predictions:
        for name, value in _layer_loss(prediction, targets, settings).items():
            totals[name] = totals[name] + value
    loss = (
        settings.type_weight * totals["type"]
        + settings.boundary_weight * totals["boundary"]
        + settings.region_weight * totals["region"]
    )
    return {"loss": loss, **totals}


def _layer_loss(
    prediction: SetPrediction, targets: Sequence[Target], settings: LossSettings
) -> dict[str, Tensor]:
    posts, queries, golds = match(prediction, targets, settings)
    log_probs = prediction.type_log_probs  # (B, Q, T + 1)
    B, Q, classes = log_probs.shape
    M = len(posts)
    device = log_probs.device
    counts = torch.tensor([M, B * Q - M], dtype=torch.float32, device=device)
    N, unmatched = mean_over_processes(counts).tolist()

    # Row of each matched pair's gold entity in the targets laid end to end.
    firsts = torch.tensor([0, *[len(t.types) for t in targets[:-1]]]).cumsum(0)
    rows = firsts[posts] + golds
    all_types = torch.cat([t.types for t in targets])
    all_starts = torch.cat([t.starts for t in targets])
    all_ends = torch.cat([t.ends for t in targets])
    all_regions = torch.cat([t.regions for t in targets])

    right = torch.zeros(B, Q, dtype=torch.int64)
    right[posts, queries] = all_types[rows]
    weight = torch.ones(classes, device=device)
    weight[0] = N / max(unmatched, 1.0) if N else 1.0 / unmatched
    type_loss = F.nll_loss(
        log_probs.reshape(B * Q, classes), right.to(device).reshape(-1), weight, reduction="sum"
    ) / (N or 1.0)
    if M == 0:
        zero = (prediction.start_logits.sum() + prediction.region_logits.sum()) * 0.0
        return {"type": type_loss, "boundary": zero, "region": zero}

    start_logits = prediction.start_logits[posts, queries]  # (M, L)
    end_logits = prediction.end_logits[posts, queries]
    region_logits = prediction.region_logits[posts, queries]  # (M, R)
    L = start_logits.shape[1]
    starts = F.one_hot(all_starts[rows], L).to(device, start_logits.dtype)
    ends = F.one_hot(all_ends[rows], L).to(device, end_logits.dtype)
    regions = all_regions[rows].to(device, region_logits.dtype)
    bce = F.binary_cross_entropy_with_logits
    boundary = bce(start_logits, starts, reduction="sum") + bce(end_logits, ends, reduction="sum")
    return {
        "type": type_loss,
        "boundary": boundary / N,
        "region": bce(region_logits, regions, reduction="sum") / N,
    }
