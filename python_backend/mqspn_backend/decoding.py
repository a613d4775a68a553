"""Set-prediction decoding: the network's probabilities to entities, in pure NumPy.

The same function runs in evaluation and in serving. Axis letters: B posts, L subword tokens,
Q queries, T entity types, K candidate regions, R = K + 1 with the null region at index 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mqspn_backend.serving_settings import DecodingSettings

__all__ = ["Prediction", "decode"]

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Prediction:
    """One entity of a post, in token and region indices.

    ``start_token`` and ``end_token`` are inclusive. ``type_index`` counts the types from 0 ("no
    entity" is not among them). ``region`` is 0 for the null region, else 1 + the row of
    REGION_BOXES; ``box`` is that row, normalised x1, y1, x2, y2 in [0, 1], None for the null
    region. ``box_score`` is the chosen region's probability, the null region's included.
    """

    start_token: int
    end_token: int
    type_index: int
    score: float
    region: int
    box: tuple[float, float, float, float] | None
    box_score: float


def decode(
    type_probs: FloatArray,
    start_probs: FloatArray,
    end_probs: FloatArray,
    region_probs: FloatArray,
    word_starts: IntArray,
    word_ends: IntArray,
    region_boxes: FloatArray,
    region_scores: FloatArray,
    settings: DecodingSettings,
) -> list[list[Prediction]]:
    """Decode a batch; one list of entities a post, best score first.

    ``type_probs`` (B, Q, T + 1), ``start_probs`` and ``end_probs`` (B, Q, L), ``region_probs``
    (B, Q, R): probabilities in [0, 1]. ``word_starts``, ``word_ends`` (B, L): non-zero where an
    entity may start (end). ``region_boxes`` (B, K, 4): normalised. ``region_scores`` (B, K): 0 is
    padding, which is never chosen.

    A query's type is its most probable class; class 0 drops it. Its span is the pair of allowed
    start <= allowed end with the largest product of probabilities (ties: the first such end, its
    most probable start, the nearest of those), among those of at most
    ``settings.max_entity_words`` words. Its score, type probability times the mean of its
    start and end probabilities, must reach ``settings.entity_threshold``. Its region is the most
    probable one, and the null region where that is below ``settings.region_threshold``. Queries
    are then taken by falling score (ties: by index), and one whose span shares a token with a
    taken one is left out. A probability that is not a number counts as 0.

    Raises ValueError where shapes disagree.
    """
    _check_shapes(
        type_probs, start_probs, end_probs, region_probs, word_starts, word_ends, region_boxes,
        region_scores,
    )  # fmt: skip
    B = type_probs.shape[0]
    type_probs = np.nan_to_num(type_probs, nan=0.0)
    types = type_probs.argmax(axis=-1)  # (B, Q)
    type_best = type_probs.max(axis=-1)
    # Below, N counts the queries that can still pass: a score is at most the type probability.
    posts, queries = np.nonzero((types != 0) & (type_best >= settings.entity_threshold))
    if not posts.size:
        return [[] for _ in range(B)]
    starts, ends, boundary = _best_spans(
        start_probs[posts, queries],
        end_probs[posts, queries],
        word_starts[posts] != 0,
        word_ends[posts] != 0,
        settings.max_entity_words,
    )
    scores = type_best[posts, queries].astype(np.float64) * boundary
    passing = np.flatnonzero((starts >= 0) & (scores >= settings.entity_threshold))
    passing = passing[np.lexsort((queries[passing], -scores[passing], posts[passing]))]
    kept = _without_overlaps(posts[passing], starts[passing], ends[passing])
    passing = passing[kept]
    posts, queries = posts[passing], queries[passing]
    regions, box_scores = _best_regions(
        region_probs[posts, queries], region_scores[posts] > 0, settings.region_threshold
    )
    predictions: list[list[Prediction]] = [[] for _ in range(B)]
    for post, start, end, kind, score, region, box_score in zip(
        posts.tolist(),
        starts[passing].tolist(),
        ends[passing].tolist(),
        types[posts, queries].tolist(),
        scores[passing].tolist(),
        regions.tolist(),
        box_scores.tolist(),
        strict=True,
    ):
        box = None
        if region:
            x1, y1, x2, y2 = region_boxes[post, region - 1].tolist()
            box = (x1, y1, x2, y2)
        predictions[post].append(Prediction(start, end, kind - 1, score, region, box, box_score))
    return predictions


def _best_spans(
    start_probs: FloatArray,
    end_probs: FloatArray,
    may_start: npt.NDArray[np.bool_],
    may_end: npt.NDArray[np.bool_],
    max_words: int,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Best allowed (start, end) of each of N rows (N, L), and the mean of their probabilities.

    Every end meets the best start within reach, found in one pass: O(L), not O(L^2). Start and end
    are -1 where no pair is allowed. ``max_words`` 0: any length.
    """
    N, L = start_probs.shape
    rows = np.arange(N)
    if L == 0:
        none = np.full(N, -1)
        return none, none, np.zeros(N)
    start = np.where(may_start, np.nan_to_num(start_probs, nan=0.0), -1.0)
    end = np.nan_to_num(end_probs, nan=0.0)
    best_start, nearest = _best_starts(start, may_start, max_words)
    product = np.where(may_end & (best_start >= 0), best_start * end, -1.0)
    ends = product.argmax(axis=1)
    starts = nearest[rows, ends]
    mean = (start[rows, starts].astype(np.float64) + end[rows, ends]) / 2
    allowed = product[rows, ends] >= 0
    return np.where(allowed, starts, -1), np.where(allowed, ends, -1), mean


def _best_starts(
    start: FloatArray, may_start: npt.NDArray[np.bool_], max_words: int
) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """For each token (N, L) the highest start within reach before it, -1 for none, and its place.

    Of equals the nearest one. Within reach are the last ``max_words`` word starts up to the token,
    or all of them for 0.
    """
    N, L = start.shape
    if not max_words:
        best = np.maximum.accumulate(start, axis=1)
        return best, np.maximum.accumulate(np.where(start == best, np.arange(L), 0), axis=1)
    rows = np.arange(N)[:, None]
    places = np.argsort(~may_start, axis=1, kind="stable")  # of the starts, in order, then the rest
    latest = np.cumsum(may_start, axis=1) - 1  # (N, L): number of the last start up to the token
    best, nearest = np.full((N, L), -1.0, start.dtype), np.zeros((N, L), np.intp)
    for back in range(min(max_words, L)):
        place = places[rows, np.maximum(latest - back, 0)]
        better = (latest >= back) & (start[rows, place] > best)
        best, nearest = np.where(better, start[rows, place], best), np.where(better, place, nearest)
    return best, nearest


def _best_regions(
    region_probs: FloatArray, real: npt.NDArray[np.bool_], threshold: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.floating[Any]]]:
    """Most probable region of each of N rows (N, R) and its probability; ``real``: (N, K)."""
    probs = np.nan_to_num(region_probs, nan=0.0)
    chosen = np.concatenate([probs[:, :1], np.where(real, probs[:, 1:], -1.0)], axis=1).argmax(1)
    rows = np.arange(len(probs))
    chosen = np.where(probs[rows, chosen] >= threshold, chosen, 0)
    return chosen, probs[rows, chosen]


def _without_overlaps(
    posts: npt.NDArray[np.intp], starts: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]
) -> list[int]:
    """Rows kept when each post's spans are taken in order and overlapping ones left out."""
    kept = []
    taken: dict[int, int] = {}  # a post's taken tokens, one bit each
    rows = zip(posts.tolist(), starts.tolist(), ends.tolist(), strict=True)
    for row, (post, start, end) in enumerate(rows):
        span = (1 << end + 1) - (1 << start)
        before = taken.get(post, 0)
        if not before & span:
            taken[post] = before | span
            kept.append(row)
    return kept


def _check_shapes(
    type_probs: FloatArray,
    start_probs: FloatArray,
    end_probs: FloatArray,
    region_probs: FloatArray,
    word_starts: IntArray,
    word_ends: IntArray,
    region_boxes: FloatArray,
    region_scores: FloatArray,
) -> None:
    if type_probs.ndim != 3 or start_probs.ndim != 3 or region_scores.ndim != 2:
        raise ValueError("decode takes batches: type_probs (B, Q, T + 1), start_probs (B, Q, L)")
    B, Q, _ = type_probs.shape
    L, K = start_probs.shape[2], region_scores.shape[1]
    for name, array, expected in (
        ("start_probs", start_probs, (B, Q, L)),
        ("end_probs", end_probs, (B, Q, L)),
        ("region_probs", region_probs, (B, Q, K + 1)),
        ("word_starts", word_starts, (B, L)),
        ("word_ends", word_ends, (B, L)),
        ("region_boxes", region_boxes, (B, K, 4)),
        ("region_scores", region_scores, (B, K)),
    ):
        if array.shape != expected:
            raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
