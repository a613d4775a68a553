"""Posts to convert and to compare on, where the caller has none of their own: drawn ones."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mqspn_backend.tensors import MODELS
from numpy.typing import NDArray

from mqspn.data.posts import Post
from mqspn.data.reader import read_split
from mqspn.engines.graph_pipeline import GraphPipeline
from mqspn.repository import ENGINES
from mqspn.synthetic import synthesize_posts

__all__ = ["drawn_posts", "many_batches", "sample_batches"]

_reader_log = logging.getLogger("mqspn.data.reader")
_LABELS = {"PER": "PER", "LOC": "LOC", "ORG": "ORG", "OTHER": "MISC"}
#: Posts in each sample batch, where the engines take so many.
_BATCHES = (5, 3)


@contextmanager
def drawn_posts(count: int) -> Iterator[list[Post]]:
    """``count`` test posts, whose images last as long as the ``with`` block."""
    with tempfile.TemporaryDirectory(prefix="mqspn-posts-") as folder:
        synthesize_posts(split="test", count=count, seed=0, output=Path(folder), progress=False)
        _reader_log.disabled = True  # it would tell of the posts that are drawn without an image
        try:
            posts = read_split(Path(folder), "test", labels=_LABELS)
        finally:
            _reader_log.disabled = False
        yield posts


def sample_batches(
    pipeline: GraphPipeline, posts: Sequence[Post]
) -> dict[str, list[Mapping[str, NDArray[Any]]]]:
    """Inputs of each engine model, by tensor name, in a few batches of the first ``posts``.

    What one graph makes of a post is the next one's input, so that every graph sees what it will
    see in serving. No batch has the size that engines are tuned for, but where they take one post
    only; the last one is padded to the longest bucket. Raises ValueError for fewer than 8 posts.
    """
    if len(posts) < sum(_BATCHES):
        raise ValueError(f"{len(posts)} posts are too few: give {sum(_BATCHES)} or more")
    batches: dict[str, list[Mapping[str, NDArray[Any]]]] = {model: [] for model in ENGINES}
    first = 0
    largest = max(1, pipeline.max_batch_size - 1)
    for most, bucket in zip(_BATCHES, (None, pipeline.settings.buckets[-1]), strict=True):
        size = min(most, largest)
        tensors = pipeline.tensors(posts[first : first + size], bucket)
        first += size
        for model in ENGINES:
            batches[model].append({name: tensors[name] for name in MODELS[model].inputs})
    return batches


def many_batches(
    pipeline: GraphPipeline, posts: Sequence[Post]
) -> dict[str, list[Mapping[str, NDArray[Any]]]]:
    """`sample_batches` of every 8 of ``posts``; what is left over is left out.

    A difference that comes up on a few posts in a hundred takes more than 8 to be seen.
    """
    size = sum(_BATCHES)
    found = sample_batches(pipeline, posts[:size])
    for first in range(size, len(posts) - size + 1, size):
        for model, batches in sample_batches(pipeline, posts[first : first + size]).items():
            found[model] += batches
    return found
