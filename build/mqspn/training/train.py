"""A training run: the stages in order, each resumed from where a kill left it."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from mqspn.checkpoint import Checkpoint, save_checkpoint
from mqspn.data.posts import Post
from mqspn.data.reader import read_split
from mqspn.device import pick_device
from mqspn.evaluation.proposals import proposal_recall
from mqspn.network import Mqspn
from mqspn.settings import Settings
from mqspn.training.network import network_stage
from mqspn.training.region_encoder import region_encoder_stage
from mqspn.training.region_proposer import region_proposer_stage
from mqspn.training.region_states import RegionStates, compute_region_states
from mqspn.training.stage import StageReport
from mqspn.training.tokenizer import build_tokenizer

__all__ = ["train"]

log = logging.getLogger(__name__)


def train(
    settings: Settings,
    *,
    data: Path,
    run: Path,
    output: Path,
    device: str = "auto",
    progress: bool = True,
) -> dict[str, Any]:
    """Train on ``data``'s train split, choose on its dev split, write a checkpoint to ``output``.

    ``run`` keeps the state of the stages: called again after a kill with the same settings, the
    run goes on from its last whole epoch. ``device`` is a torch device, or "auto": the GPU where
    there is one. Raises ValueError where ``run`` belongs to other settings or other data. Returns
    the report, also written to ``output``/training_report.json.
    """
    began = time.monotonic()
    labels = {t.label: t.name for t in settings.types}
    splits = {split: read_split(data, split, labels=labels) for split in ("train", "dev")}
    train_posts, dev_posts = splits["train"], splits["dev"]
    _claim(run, settings, [*train_posts, *dev_posts])

    tokenizer_file = run / "tokenizer.json"
    if tokenizer_file.is_file():
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
    else:
        tokenizer = build_tokenizer(settings, (post.text for post in train_posts))
        tokenizer.save(str(tokenizer_file))
    torch.manual_seed(settings.training.seed)
    model = Mqspn(settings, tokenizer).to(pick_device(device))
    checkpoint = Checkpoint(settings, tokenizer, model)

    reports: list[StageReport] = []
    stages = settings.training
    if stages.region_proposer.epochs:
        reports.append(
            region_proposer_stage(model.region_proposer, settings, train_posts).run(
                run, progress=progress
            )
        )
    if stages.region_encoder.epochs:
        reports.append(
            region_encoder_stage(model.region_encoder, settings, train_posts, dev_posts).run(
                run, progress=progress
            )
        )
    states = {
        split: _region_states(checkpoint, posts, run / f"regions_{split}.npz", progress)
        for split, posts in splits.items()
    }
    stage, lost = network_stage(checkpoint, train_posts, states["train"], dev_posts, states["dev"])
    if lost:
        log.warning(
            "%d training entities are left out: past the longest bucket, or no whole words", lost
        )
    reports.append(stage.run(run, progress=progress))

    report = {
        "settings": asdict(settings),
        "seed": settings.training.seed,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, {_device_name(model.device)}",
        "posts": {split: len(posts) for split, posts in splits.items()},
        "left_out_entities": lost,
        "proposer_recall_dev": _recall(dev_posts, states["dev"]),
        "stages": [asdict(r) for r in reports],
        "seconds_this_call": round(time.monotonic() - began, 1),
    }
    save_checkpoint(checkpoint, output)
    (output / "training_report.json").write_text(json.dumps(report, indent=2) + "\n")
    return report


def _claim(run: Path, settings: Settings, posts: Sequence[Post]) -> None:
    """Make ``run`` the folder of these settings and this data, or refuse it where it is another's.

    Data are the same where ids, texts, gold and the images' sizes in bytes are.
    """
    run.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    for post in posts:
        image = post.image.stat().st_size if post.image is not None else None
        digest.update(repr((post.id, post.text, post.entities, post.objects, image)).encode())
    claims = {"settings": settings.to_json(), "data": digest.hexdigest() + "\n"}
    for what, text in claims.items():
        path = run / f"{what}.claim"
        if path.is_file() and path.read_text(encoding="utf-8") != text:
            raise ValueError(
                f"{run} holds a run with other {what}; name another --run folder, or delete it"
            )
        path.write_text(text, encoding="utf-8")


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _region_states(
    checkpoint: Checkpoint, posts: Sequence[Post], path: Path, progress: bool
) -> RegionStates:
    if path.is_file():
        states = RegionStates.load(path)
        if len(states.boxes) == len(posts):
            return states
    states = compute_region_states(checkpoint.model, checkpoint.settings, posts, progress=progress)
    states.save(path)
    return states


def _recall(posts: Sequence[Post], states: RegionStates) -> dict[str, Any]:
    return proposal_recall(
        [[entity.boxes for entity in post.entities] for post in posts],
        [states.proposals(row) for row in range(len(posts))],
        k=states.boxes.shape[1],
    ).to_json()
