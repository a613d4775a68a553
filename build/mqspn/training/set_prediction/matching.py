"""Hungarian matching of queries to the one-to-many gold set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mqspn.network.query_decoder import SetPrediction
from mqspn.settings import LossSettings
from mqspn.training.set_prediction.examples import Target

__all__ = ["match"]


@torch.no_grad()
def match(
    prediction: SetPrediction, targets: Sequence[Target], settings: LossSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign gold entities to queries so that the summed cost is least.

    Cost of query q for entity g: -(w_t p_type + w_b p_start + w_b p_end + w_r p_region), p_region
    being that of the best right region. A post's gold set is repeated up to
    ``settings.gold_repeats`` of the queries, so that several queries may find one entity.
    A pair whose type the query cannot say (the existence form knows one type a query) is dropped.

    Args:
        prediction: one layer's, of B posts and Q queries:
            ``type_log_probs`` (B, Q, T + 1) float32, index 0 "no entity";
            ``start_logits``, ``end_logits`` (B, Q, L) float32;
            ``region_logits`` (B, Q, R) float32, index 0 the null region.
        targets: B of them, each of N gold entities, N its own:
            ``types`` (N,) int64, 1 to T; ``starts``, ``ends`` (N,) int64, end inclusive;
            ``regions`` (N, R) float32, 1 where a region is a right answer.
        settings: the weights w, how often gold is repeated, and ``bipartite``.

    Returns three tensors (M,) int64 on the CPU, one element a matched pair: the post, 0 to B - 1;
    the query, 0 to Q - 1; the gold entity, 0 to its post's N - 1.
    """
    types, starts, ends, regions = (p.cpu().numpy() for p in prediction.probabilities())
    Q = types.shape[1]
    posts_out, queries_out, golds_out = [], [], []
    for b, target in enumerate(targets):
        N = len(target.types)
        if N == 0:
            continue
        N = min(N, Q)
        repeats = max(1, min(settings.gold_repeats, Q) // N)
        if settings.bipartite:
            right = target.regions[:N].numpy()  # (N, R)
            best_region = (regions[b][:, None, :] * right[None]).max(axis=-1)  # (Q, N)
            cost = -(
                settings.type_weight * types[b][:, target.types[:N].numpy()]
                + settings.boundary_weight * starts[b][:, target.starts[:N].numpy()]
                + settings.boundary_weight * ends[b][:, target.ends[:N].numpy()]
                + settings.region_weight * best_region
            )
            # What is not a number would stop SciPy here; the loss is checked where it is summed.
            cost = np.nan_to_num(cost)
            query, column = linear_sum_assignment(np.tile(cost, (1, repeats)))
            gold = column % N
        else:
            query = np.arange(repeats * N)
            gold = query % N
        possible = types[b, query, target.types[:N].numpy()[gold]] > 0
        query, gold = query[possible], gold[possible]
        posts_out.append(np.full(len(query), b))
        queries_out.append(query)
        golds_out.append(gold)
    if not posts_out:
        empty = torch.zeros(0, dtype=torch.int64)
        return empty, empty, empty
    joined = (np.concatenate(part) for part in (posts_out, queries_out, golds_out))
    posts, queries, golds = (torch.from_numpy(part.astype(np.int64)) for part in joined)
    return posts, queries, golds
