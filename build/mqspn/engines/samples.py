"""Batches to convert and to compare graphs on, of the caller's posts or of synthetic ones."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mqspn_backend.tensors import MODELS

from mqspn.data.posts import Post
from mqspn.data.reader import read_split
from mqspn.engines.errors import CompileSettingsError
from mqspn.engines.graph_pipeline import GraphPipeline
from mqspn.engines.quantisation import Batch
from mqspn.repository import ENGINES
from mqspn.synthetic import synthesize_posts

__all__ = ["SAMPLE_POSTS", "many_batches", "sample_batches", "synthetic_posts"]

_reader_log = logging.getLogger("mqspn.data.reader")
_LABELS = {"PER": "PER", "LOC": "LOC", "ORG": "ORG", "OTHER": "MISC"}
#: Posts in each sample batch, where the engines take so many.
_BATCHES = (5, 3)
#: Posts that `sample_batches` takes.
SAMPLE_POSTS = sum(_BATCHES)


@contextmanager
def synthetic_posts(count: int) -> Iterator[list[Post]]:
    """Draw ``count`` synthetic test posts, whose images last as long as the ``with`` block."""
    with tempfile.TemporaryDirectory(prefix="mqspn-posts-") as folder:
        synthesize_posts(split="test", count=count, seed=0, output=Path(folder), progress=False)
        _reader_log.disabled = True  # it would tell of the posts that are drawn without an image
        try:
            posts = read_split(Path(folder), "test", labels=_LABELS)
        finally:
            _reader_log.disabled = False
        yield posts


def sample_batches(pipeline: GraphPipeline, posts: Sequence[Post]) -> dict[str, list[Batch]]:
    """Make a few batches of the first ``posts``: inputs of each engine model, by tensor name.

    What one graph makes of a post is the next one's input, so that every graph sees what it will
    see in serving. No batch has the size that engines are tuned for, but where they take one post
    only; the last one is padded to the longest bucket. Raises CompileSettingsError for fewer than 8
    posts.
    """
    if len(posts) < SAMPLE_POSTS:
        raise CompileSettingsError(f"{len(posts)} posts are too few: give {SAMPLE_POSTS} or more")
    batches: dict[str, list[Batch]] = {model: [] for model in ENGINES}
    first = 0
    largest = max(1, pipeline.max_batch_size - 1)
    for most, bucket in zip(_BATCHES, (None, pipeline.settings.buckets[-1]), strict=True):
        size = min(most, largest)
        tensors = pipeline.tensors(posts[first : first + size], bucket)
        first += size
        for model in ENGINES:
            batches[model].append({name: tensors[name] for name in MODELS[model].inputs})
    return batches


def many_batches(pipeline: GraphPipeline, posts: Sequence[Post]) -> dict[str, list[Batch]]:
    """Make `sample_batches` of every 8 of ``posts``; what is left over is left out.

    A difference that comes up on a few posts in a hundred takes more than 8 to be seen.
    """
    found = sample_batches(pipeline, posts)
    for first in range(SAMPLE_POSTS, len(posts) - SAMPLE_POSTS + 1, SAMPLE_POSTS):
        for model, batches in sample_batches(pipeline, posts[first:]).items():
            found[model] += batches
    return found
