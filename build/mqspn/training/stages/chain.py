"""Which stages a run has, and in what order: each begins with what those before it learnt."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from mqspn.checkpoint import Checkpoint
from mqspn.data.posts import Post
from mqspn.regions.states import RegionStates, compute_region_states
from mqspn.training.loop.stage import Stage
from mqspn.training.stages.region_encoder import RegionEncoderStage
from mqspn.training.stages.region_proposer import RegionProposerStage
from mqspn.training.stages.set_prediction import SetPredictionStage

__all__ = ["StageChain"]

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class StageChain:
    """The stages of a run; iterate over them and train each before you take the next.

    Once the last one is taken, ``regions`` are the region states of each split, and ``left_out``
    is how many gold entities of the train split could not be kept.

    Args:
        checkpoint: what is trained.
        posts: of the splits "train" and "dev".
        accelerator: the main process computes the region states, the others read them.
        visual_side_taken: whether it is trained already, so that its two stages are left out.
        proposals: a folder of boxes in place of the region proposer's.
        region_cache: where the region states are kept.
        progress: whether computing them shows a bar.
    """

    checkpoint: Checkpoint
    posts: Mapping[str, Sequence[Post]]
    accelerator: Accelerator
    visual_side_taken: bool
    proposals: Path | None
    region_cache: Path
    progress: bool
    regions: dict[str, RegionStates] = field(default_factory=dict, init=False)
    left_out: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[Stage[Any]]:
        settings, model = self.checkpoint.settings, self.checkpoint.model
        train, dev = self.posts["train"], self.posts["dev"]
        if settings.training.region_proposer.epochs and not self.visual_side_taken:
            yield RegionProposerStage(model.region_proposer, settings, train)
        if settings.training.region_encoder.epochs and not self.visual_side_taken:
            yield RegionEncoderStage(model.region_encoder, settings, train, dev)
        self.regions = self._region_states()
        last = SetPredictionStage(
            self.checkpoint, train, self.regions["train"], dev, self.regions["dev"]
        )
        self.left_out = last.left_out
        if last.left_out and self.accelerator.is_main_process:
            log.warning(
                "%d training entities are left out: past the longest bucket, or no whole words",
                last.left_out,
            )
        yield last

    def _region_states(self) -> dict[str, RegionStates]:
        """Compute what the trained visual side says of every post, or read it from the cache."""
        with self.accelerator.main_process_first():
            return {
                split: compute_region_states(
                    self.checkpoint.model,
                    self.checkpoint.settings,
                    posts,
                    progress=self.progress,
                    proposals=self.proposals,
                    cache=self.region_cache / f"regions_{split}",
                )
                for split, posts in self.posts.items()
            }
