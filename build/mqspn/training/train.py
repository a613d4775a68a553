"""A training run: the stages in order, each resumed from where a kill left it."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from mqspn.checkpoint import (
    Checkpoint,
    check_complete,
    holds_weights,
    read_report,
    save_checkpoint,
)
from mqspn.data.posts import Post
from mqspn.data.reader import read_split
from mqspn.files.fingerprint import Fingerprint, fingerprint_digest
from mqspn.files.lock import lock_folder
from mqspn.network import Mqspn
from mqspn.regions.recall import proposal_recall
from mqspn.regions.states import RegionStates
from mqspn.settings import Settings
from mqspn.training.errors import RunFolderError, TrainingError
from mqspn.training.loop.processes import join_processes
from mqspn.training.loop.trainer import Trainer
from mqspn.training.run_folder.fingerprint import begin_run, run_fingerprint
from mqspn.training.run_folder.kept_tokenizer import keep_tokenizer
from mqspn.training.stages.chain import StageChain
from mqspn.training.stages.visual_side import take_visual_side

__all__ = ["train"]

log = logging.getLogger(__name__)


def train(
    settings: Settings,
    *,
    data: Path,
    run: Path,
    output: Path,
    device: str = "auto",
    visual_from: Path | None = None,
    proposals: Path | None = None,
    region_cache: Path | None = None,
    progress: bool = True,
) -> dict[str, Any] | None:
    """Train on ``data``'s train split, choose on its dev split, write a checkpoint to ``output``.

    Called again after a kill with the same arguments, the run goes on from where it was. A run that
    is finished and whose checkpoint is in ``output`` writes nothing. Under `accelerate launch`
    every process calls this alike, and the main one writes.

    Args:
        settings: the run's; a run goes on with the same ones only.
        data: a data set folder, see `mqspn.data.reader`.
        run: the folder that keeps the state.
        output: where the checkpoint goes.
        device: a torch device, or "auto": the GPU where there is one.
        visual_from: a checkpoint whose region proposer and visual encoder are taken, their stages
            left out.
        proposals: a folder of boxes in place of the region proposer's, see `mqspn.data.proposals`.
        region_cache: where the region states are kept (default: ``run``), which runs that share
            their visual side and data may share.
        progress: whether the main process shows bars.

    Returns the report, also written to ``output``/training_report.json; None in every process but
    the main. Raises TrainingError where these data or settings have nothing to train with,
    FingerprintError where ``run`` belongs to other settings or other inputs, RunFolderError where
    a saved state is damaged or ``output`` has another checkpoint.
    """
    if visual_from is not None:
        check_complete(visual_from)
    labels = settings.label_names
    splits = {split: read_split(data, split, labels=labels) for split in ("train", "dev")}
    fingerprint = run_fingerprint(
        settings,
        [*splits["train"], *splits["dev"]],
        visual_from=visual_from,
        proposals=proposals,
    )
    accelerator = join_processes(device, settings.training.mixed_precision)
    main = accelerator.is_main_process
    done = _finished(output, fingerprint)
    if done is not None:
        if main:
            log.warning("%s is this run's checkpoint, already finished; nothing is done", output)
        return done if main else None
    _check_scores(settings, splits["dev"], warn=main)
    with lock_folder(run, option="--run folder") if main else nullcontext():
        began = time.monotonic()
        checkpoint = _new_checkpoint(
            settings, splits["train"], fingerprint, accelerator, run, visual_from
        )
        if proposals is None:
            checkpoint.model.region_proposer.check_image_side(settings.image_side)
        chain = StageChain(
            checkpoint=checkpoint,
            posts=splits,
            accelerator=accelerator,
            visual_side_taken=visual_from is not None,
            proposals=proposals,
            region_cache=region_cache or run,
            progress=progress and main,
        )
        minutes = settings.training.save_every_minutes
        stages = [
            Trainer(stage, run, accelerator, save_every_minutes=minutes, show_bar=progress).run()
            for stage in chain
        ]
        accelerator.end_training()
        if not main:
            return None
        report = {
            "run": fingerprint_digest(fingerprint),
            "settings": asdict(settings),
            "seed": settings.training.seed,
            "machine": _machine(accelerator),
            "processes": accelerator.num_processes,
            "mixed_precision": accelerator.mixed_precision,
            "visual_from": visual_from and str(visual_from),
            "proposals": proposals and str(proposals),
            "posts": {split: len(posts) for split, posts in splits.items()},
            "left_out_entities": chain.left_out,
            "proposer_recall_dev": _recall(splits["dev"], chain.regions["dev"]),
            "stages": [asdict(stage) for stage in stages],
            "seconds_this_call": round(time.monotonic() - began, 1),
        }
        save_checkpoint(checkpoint, output, report=report)
    return report


def _new_checkpoint(
    settings: Settings,
    posts: Sequence[Post],
    fingerprint: Fingerprint,
    accelerator: Accelerator,
    run: Path,
    visual_from: Path | None,
) -> Checkpoint:
    """Make ``run`` this run's folder, and the network that its stages train, with its tokenizer."""
    with accelerator.main_process_first():
        begin_run(run, fingerprint)
        tokenizer = keep_tokenizer(run, settings, (post.text for post in posts))
        torch.manual_seed(settings.training.seed)
        model = Mqspn(settings, tokenizer).to(accelerator.device)
        if visual_from is not None:
            take_visual_side(model, settings, visual_from)
    return Checkpoint(settings, tokenizer, model)


def _finished(output: Path, fingerprint: Fingerprint) -> dict[str, Any] | None:
    """The run's report where its checkpoint is in ``output``; RunFolderError for another's."""
    if output.exists() and not output.is_dir():
        raise RunFolderError(f"{output} is not a folder; name another --output")
    if not holds_weights(output):
        return None
    report = read_report(output)
    if report.get("run") != fingerprint_digest(fingerprint):
        raise RunFolderError(
            f"{output} holds a checkpoint of another run; name another --output, or delete it"
        )
    return report


def _check_scores(settings: Settings, dev: Sequence[Post], *, warn: bool) -> None:
    """Say what ``dev`` has nothing to measure with, before any stage is trained."""
    training = settings.training
    if not training.network.epochs:
        return
    if not any(post.entities for post in dev):
        if training.network.patience:
            raise TrainingError(
                "training.network.patience needs entities in the dev split, which has none; "
                "set it to 0"
            )
        if warn:
            log.warning("the dev split has no entities: the last epoch's weights are kept")
    if warn and training.frozen_epochs >= training.network.epochs:
        log.warning(
            "training.frozen_epochs (%d): the text encoder stays frozen in all %d epochs",
            training.frozen_epochs,
            training.network.epochs,
        )


def _machine(accelerator: Accelerator) -> str:
    device = accelerator.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    threads = torch.get_num_threads()
    return f"{platform.machine()}, {threads} threads, torch {torch.__version__}, {name}"


def _recall(posts: Sequence[Post], states: RegionStates) -> dict[str, Any]:
    return proposal_recall(
        [[entity.boxes for entity in post.entities] for post in posts],
        [states.proposals(row) for row in range(len(posts))],
        k=states.boxes.shape[1],
    ).to_json()
