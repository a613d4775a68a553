"""The network stage: what of it is frozen, for how long, and at which rates it learns."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mqspn.checkpoint import Checkpoint
from mqspn.data.reader import read_split
from mqspn.regions.states import compute_region_states
from mqspn.settings import StageSettings
from mqspn.synthetic import synthesize_posts
from mqspn.training.network import network_stage
from mqspn.training.processes import join_processes
from torch import Tensor

ENCODER_RATE, RATE = 1e-3, 1e-2


def test_frozen_epochs_and_the_encoders_own_rate(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """One step an epoch: AdamW's first step of a parameter is as long as its learning rate."""
    synthesize_posts(split="train", count=6, seed=1, output=tmp_path / "data")
    training = replace(
        checkpoint.settings.training,
        network=StageSettings(
            epochs=3, batch_size=6, learning_rate=RATE, weight_decay=0.0, warmup=0.0
        ),
        encoder_learning_rate=ENCODER_RATE,
        frozen_epochs=2,
        word_dropout=0.0,
        image_dropout=0.0,
    )
    values = replace(checkpoint.settings, training=training)
    own = Checkpoint(values, checkpoint.tokenizer, copy.deepcopy(checkpoint.model))
    posts = read_split(tmp_path / "data", "train", labels=values.label_names)
    states = compute_region_states(own.model, values, posts, progress=False)
    stage, _ = network_stage(own, posts, states, [], states)
    before = stage.before_epoch
    encoders: list[dict[str, Tensor]] = []
    projections: list[Tensor] = []

    def keep(epoch: int = 0) -> None:
        encoder = own.model.text_encoder.encoder
        encoders.append({k: v.detach().clone() for k, v in encoder.named_parameters()})
        projections.append(own.model.text_encoder.projection.weight.detach().clone())

    def before_epoch(epoch: int) -> None:
        before(epoch)
        keep()

    stage.before_epoch = before_epoch
    stage.run(tmp_path / "run", join_processes("cpu", "no"), progress=False)
    keep()
    start, first, second, third = encoders
    for name, value in start.items():
        assert torch.equal(first[name], value), name
        assert torch.equal(second[name], value), name
    # The schedule has 3 steps and no warm-up: the last is at a third of the base rate.
    assert _longest_step(projections[0], projections[1]) == pytest.approx(RATE, rel=0.01)
    longest = max(_longest_step(third[name], value) for name, value in start.items())
    assert longest == pytest.approx(ENCODER_RATE / 3, rel=0.01)
    words = next(name for name in start if name.endswith("word_embeddings.weight"))
    assert not torch.equal(third[words], start[words])


def _longest_step(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())
