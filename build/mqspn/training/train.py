"""A training run: the stages in order, each resumed from where a kill left it."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from tokenizers import Tokenizer

from mqspn.checkpoint import (
    Checkpoint,
    check_complete,
    holds_weights,
    read_report,
    save_checkpoint,
)
from mqspn.data.posts import Post
from mqspn.data.reader import read_split
from mqspn.files.lock import lock_folder
from mqspn.files.replace import replace_text
from mqspn.network import Mqspn
from mqspn.regions.recall import proposal_recall
from mqspn.regions.states import RegionStates, compute_region_states
from mqspn.settings import Settings
from mqspn.training.loop.processes import join_processes
from mqspn.training.loop.stage import Stage, StageReport
from mqspn.training.run_claim import claim_run, digest_of, make_claim
from mqspn.training.stages.region_encoder import region_encoder_stage
from mqspn.training.stages.region_proposer import region_proposer_stage
from mqspn.training.stages.set_prediction import network_stage
from mqspn.training.stages.visual_side import take_visual_side
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
    visual_from: Path | None = None,
    proposals: Path | None = None,
    region_cache: Path | None = None,
    progress: bool = True,
) -> dict[str, Any] | None:
    """Train on ``data``'s train split, choose on its dev split, write a checkpoint to ``output``.

    ``run`` keeps the state: called again after a kill with the same arguments, the run goes on from
    there. ``device`` is a torch device, or "auto": the GPU where there is one. ``visual_from``: a
    checkpoint whose region proposer and visual encoder are taken, their stages left out.
    ``proposals``: a folder of boxes in place of the region proposer's, see
    `mqspn.data.proposals`. ``region_cache``: where the region states are kept (default: ``run``),
    which runs that share their visual side and data may share. Under `accelerate launch` every
    process calls this alike, and the main one writes. Returns the report, also written to
    ``output``/training_report.json; None in every process but the main. A run that is finished and
    whose checkpoint is in ``output`` writes nothing. Raises ValueError where ``run`` belongs to
    other settings or other inputs or to another process, or ``output`` has another checkpoint.
    """
    if visual_from is not None:
        check_complete(visual_from)
    labels = {t.label: t.name for t in settings.types}
    splits = {split: read_split(data, split, labels=labels) for split in ("train", "dev")}
    claim = make_claim(
        settings,
        [*splits["train"], *splits["dev"]],
        visual_from=visual_from,
        proposals=proposals,
    )
    accelerator = join_processes(device, settings.training.mixed_precision)
    main = accelerator.is_main_process
    done = _finished(output, claim)
    if done is not None:
        if main:
            log.warning("%s is this run's checkpoint, already finished; nothing is done", output)
        return done if main else None
    _check_scores(settings, splits["dev"], warn=main)
    with lock_folder(run, option="--run folder") if main else nullcontext():
        checkpoint, report = _train(
            settings,
            splits,
            claim,
            accelerator,
            run=run,
            visual_from=visual_from,
            proposals=proposals,
            region_cache=region_cache or run,
            progress=progress and main,
        )
        if not main:
            return None
        save_checkpoint(checkpoint, output, report=report)
    return report


def _train(
    settings: Settings,
    splits: Mapping[str, Sequence[Post]],
    claim: dict[str, Any],
    accelerator: Accelerator,
    *,
    run: Path,
    visual_from: Path | None,
    proposals: Path | None,
    region_cache: Path,
    progress: bool,
) -> tuple[Checkpoint, dict[str, Any]]:
    """The stages, and what is to be said of them."""
    began = time.monotonic()
    main = accelerator.is_main_process
    train_posts, dev_posts = splits["train"], splits["dev"]
    with accelerator.main_process_first():
        claim_run(run, claim)
        tokenizer = _tokenizer(run / "tokenizer.json", settings, train_posts)
        torch.manual_seed(settings.training.seed)
        model = Mqspn(settings, tokenizer).to(accelerator.device)
        if visual_from is not None:
            take_visual_side(model, settings, visual_from)
    checkpoint = Checkpoint(settings, tokenizer, model)

    def finish(stage: Stage[Any]) -> StageReport:
        minutes = settings.training.save_every_minutes
        return stage.run(run, accelerator, save_every_minutes=minutes, progress=progress)

    reports: list[StageReport] = []
    stages = settings.training
    if stages.region_proposer.epochs and visual_from is None:
        reports.append(finish(region_proposer_stage(model.region_proposer, settings, train_posts)))
    if stages.region_encoder.epochs and visual_from is None:
        reports.append(
            finish(region_encoder_stage(model.region_encoder, settings, train_posts, dev_posts))
        )
    with accelerator.main_process_first():
        states = {
            split: compute_region_states(
                model,
                settings,
                posts,
                progress=progress,
                proposals=proposals,
                cache=region_cache / f"regions_{split}",
            )
            for split, posts in splits.items()
        }
    stage, lost = network_stage(checkpoint, train_posts, states["train"], dev_posts, states["dev"])
    if lost and main:
        log.warning(
            "%d training entities are left out: past the longest bucket, or no whole words", lost
        )
    reports.append(finish(stage))
    accelerator.end_training()
    report = {
        "run": digest_of(claim),
        "settings": asdict(settings),
        "seed": settings.training.seed,
        "machine": _machine(accelerator),
        "processes": accelerator.num_processes,
        "mixed_precision": accelerator.mixed_precision,
        "visual_from": visual_from and str(visual_from),
        "proposals": proposals and str(proposals),
        "posts": {split: len(posts) for split, posts in splits.items()},
        "left_out_entities": lost,
        "proposer_recall_dev": _recall(dev_posts, states["dev"]),
        "stages": [asdict(r) for r in reports],
        "seconds_this_call": round(time.monotonic() - began, 1),
    }
    return checkpoint, report


def _finished(output: Path, claim: dict[str, Any]) -> dict[str, Any] | None:
    """The report of this run where its checkpoint is in ``output``; ValueError for another's."""
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is not a folder; name another --output")
    if not holds_weights(output):
        return None
    report = read_report(output)
    if report.get("run") != digest_of(claim):
        raise ValueError(
            f"{output} holds a checkpoint of another run; name another --output, or delete it"
        )
    return report


def _check_scores(settings: Settings, dev: Sequence[Post], *, warn: bool) -> None:
    """Say before anything is trained what ``dev`` has nothing to measure; see `Stage`."""
    training = settings.training
    if not training.network.epochs:
        return
    if not any(post.entities for post in dev):
        if training.network.patience:
            raise ValueError(
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


def _tokenizer(path: Path, settings: Settings, posts: Sequence[Post]) -> Tokenizer:
    """The run's tokenizer, made and kept where it has none yet."""
    if not path.is_file():
        made = build_tokenizer(settings, (post.text for post in posts))
        replace_text(path, made.to_str(pretty=True))
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower one
        raise ValueError(
            f"{path} is damaged ({error}); name another --run folder, or delete this one"
        ) from error


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
