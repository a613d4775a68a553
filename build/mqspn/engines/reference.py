"""The FP32 graphs of a repository: what lower precisions and plans are made from and held to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from mqspn.data.posts import Post
from mqspn.engines.choices import Precision
from mqspn.engines.gates import check_tensors, require_passed
from mqspn.engines.graph_pipeline import GraphPipeline
from mqspn.engines.quantisation import Batch, calibration_batches
from mqspn.engines.samples import SAMPLE_POSTS, sample_batches, synthetic_posts
from mqspn.parity import Difference, Runner

__all__ = ["Reference"]


class Reference:
    """The FP32 graphs of ``repository`` and what they make of sample posts, each at first use.

    The posts are those of ``calibrate``, or synthetic ones where there are none.
    """

    def __init__(self, repository: Path, calibrate: Sequence[Post] = ()) -> None:
        self._repository = repository
        self._calibrate = calibrate

    @cached_property
    def pipeline(self) -> GraphPipeline:
        return GraphPipeline(self._repository)

    @cached_property
    def batches(self) -> dict[str, list[Batch]]:
        """What each graph is converted and compared on, by model name."""
        if self._calibrate:
            return sample_batches(self.pipeline, self._calibrate)
        with synthetic_posts(SAMPLE_POSTS) as posts:
            return sample_batches(self.pipeline, posts)

    @cached_property
    def calibration(self) -> dict[str, list[Batch]]:
        """What INT8 takes each graph's scales from: all posts but those it is compared on."""
        return calibration_batches(self.pipeline, self._calibrate[SAMPLE_POSTS:])

    def hold(self, model: str, candidate: Runner, precision: Precision) -> Difference:
        """Hold ``candidate`` against the graph of ``model``; raises GateError where it is off."""
        reference, batches = self.pipeline.engines[model], self.batches[model]
        return require_passed(
            check_tensors(model, reference, candidate, batches, precision=precision)
        ).difference
