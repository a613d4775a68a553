"""The paper's ablations: the network without one of its parts, over several seeds."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mqspn.files.digest import file_sha256
from mqspn.files.fingerprint import as_json, check_fingerprint, read_fingerprint
from mqspn.files.lock import lock_folder
from mqspn.files.replace import replace_text
from mqspn.settings import Settings, load_settings

__all__ = ["ABLATIONS", "Ablation", "ablation_table", "run_ablations"]


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A part switched off by ``overrides``; ``published``: GMNER F1 of the paper without it."""

    name: str
    overrides: Mapping[str, Any]
    published: float


#: Tang et al., AAAI 2025, ablation study on Twitter-GMNER (test GMNER F1); "full" is the network.
ABLATIONS = (
    Ablation(name="full", overrides={}, published=58.76),
    Ablation(
        name="no learned queries",
        overrides={"network.entity_queries": False},
        published=56.02,
    ),
    Ablation(name="no bipartite loss", overrides={"loss.bipartite": False}, published=56.58),
    Ablation(name="no type prompts", overrides={"network.type_prompts": False}, published=56.95),
    Ablation(
        name="no query-text attention",
        overrides={"network.text_cross_attention": False},
        published=57.21,
    ),
    Ablation(
        name="no prefix integration",
        overrides={"network.prefix_integration": False},
        published=57.86,
    ),
    Ablation(name="no aggregator", overrides={"network.aggregator": False}, published=58.13),
)


def run_ablations(
    *,
    data: Path,
    work: Path,
    settings: str,
    overrides: Mapping[str, Any],
    visual_from: Path,
    seeds: Sequence[int],
    jobs: int = 1,
) -> list[dict[str, Any]]:
    """Train every ablation with every seed; the best dev epoch's scores on ``data``'s test split.

    All take their visual side from the checkpoint ``visual_from`` and differ in what
    `Ablation.overrides` names and in the seed alone. ``jobs`` runs go on at once, each with
    one thread. ``work`` keeps their states and scores: called again, what is done is not
    done again. Returns a mapping a run: "name", "seed", "mner", "eeg", "gmner" (F1, 0 to 1).
    Raises ValueError where ``work`` holds runs of other settings or other inputs.
    """
    with lock_folder(work, option="--work folder"):
        return _run_all(
            {
                "data": str(data),
                "work": str(work),
                "settings": settings,
                "visual_from": str(visual_from),
                "inputs": _inputs(data, visual_from, load_settings(settings, dict(overrides))),
            },
            overrides=overrides,
            seeds=list(dict.fromkeys(seeds)),
            jobs=jobs,
        )


def _run_all(
    common: Mapping[str, Any],
    *,
    overrides: Mapping[str, Any],
    seeds: Sequence[int],
    jobs: int,
) -> list[dict[str, Any]]:
    tasks = [
        {
            **common,
            "name": ablation.name,
            "seed": seed,
            "overrides": {**overrides, **ablation.overrides, "training.seed": seed},
        }
        for seed in seeds
        for ablation in ABLATIONS
    ]
    kept = [_kept_scores(task) for task in tasks]
    results = [scores for scores in kept if scores is not None]
    left = [task for task, scores in zip(tasks, kept, strict=True) if scores is None]
    context = multiprocessing.get_context("spawn")
    # The first run alone fills the cache of region states, which all share.
    for some, processes in ((left[:1], 1), (left[1:], jobs)):
        if not some:
            break
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            pending = [pool.submit(_run, task) for task in some]
            try:
                results += [future.result() for future in as_completed(pending)]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    order = [ablation.name for ablation in ABLATIONS]
    return sorted(results, key=lambda row: (row["seed"], order.index(row["name"])))


def _inputs(data: Path, visual_from: Path, settings: Settings) -> dict[str, str]:
    """What the runs are made of besides settings: digests, for their fingerprint."""
    from mqspn.checkpoint import check_complete
    from mqspn.data.reader import read_split
    from mqspn.training.run_folder.fingerprint import data_digest

    check_complete(visual_from)
    digests = {
        f"{split} posts": data_digest(read_split(data, split, labels=settings.label_names))
        for split in ("train", "dev", "test")
    }
    return {**digests, "visual side": file_sha256(visual_from / "model.safetensors")}


def _folder(task: Mapping[str, Any]) -> Path:
    return Path(task["work"]) / f"{task['name'].replace(' ', '-')}-{task['seed']}"


def _kept_scores(task: Mapping[str, Any]) -> dict[str, Any] | None:
    """The scores of a run that was done before; FingerprintError where it was another's."""
    folder = _folder(task)
    kept = read_fingerprint(folder / "scores.json", option="--work")
    if kept is None:
        return None
    settings = load_settings(task["settings"], dict(task["overrides"]))
    check_fingerprint(
        {"settings": kept["settings"], **kept.get("inputs", {})},
        {**as_json({"settings": asdict(settings)}), **task["inputs"]},
        folder=folder,
        holds="a run",
        option="--work",
    )
    scores: dict[str, Any] = kept["scores"]
    return scores


def _run(task: Mapping[str, Any]) -> dict[str, Any]:
    """One training run and its test scores."""
    import torch

    from mqspn.checkpoint import load_checkpoint
    from mqspn.data.reader import read_split
    from mqspn.evaluation.metrics import score
    from mqspn.evaluation.offline import predict_with_states
    from mqspn.regions.states import compute_region_states
    from mqspn.training.train import train

    torch.set_num_threads(1)
    work = Path(task["work"])
    folder = _folder(task)
    settings = load_settings(task["settings"], dict(task["overrides"]))
    report = train(
        settings,
        data=Path(task["data"]),
        run=folder / "run",
        output=folder / "checkpoint",
        device="cpu",
        visual_from=Path(task["visual_from"]),
        region_cache=work / "regions",
        progress=False,
    )
    assert report is not None
    checkpoint = load_checkpoint(folder / "checkpoint")
    posts = read_split(Path(task["data"]), "test", labels=settings.label_names)
    states = compute_region_states(
        checkpoint.model, settings, posts, progress=False, cache=work / "regions" / "regions_test"
    )
    found = score([p.entities for p in posts], predict_with_states(checkpoint, posts, states))
    scores = {
        "name": task["name"],
        "seed": task["seed"],
        **{metric: getattr(found, metric).f1 for metric in ("mner", "eeg", "gmner")},
        "best_epoch": report["stages"][-1]["best_epoch"],
        "seconds": report["stages"][-1]["seconds"],
    }
    kept = {"scores": scores, "settings": asdict(settings), "inputs": task["inputs"]}
    replace_text(folder / "scores.json", json.dumps(kept, indent=2))
    shutil.rmtree(folder / "run")
    print(json.dumps(scores), flush=True)
    return scores


def ablation_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table: mean and standard deviation of F1 over seeds, in points of 100.

    "change" is the mean over seeds of the difference from the full network of the same seed, with
    its own standard deviation; "paper" the published change of GMNER F1.
    """
    full = {row["seed"]: row for row in rows if row["name"] == "full"}
    lines = [
        "| network | MNER F1 | EEG F1 | GMNER F1 | change of GMNER | paper |",
        "|---|---|---|---|---|---|",
    ]
    for ablation in ABLATIONS:
        own = [row for row in rows if row["name"] == ablation.name]
        if not own:
            continue
        cells = [_mean([row[metric] for row in own]) for metric in ("mner", "eeg", "gmner")]
        changes = [row["gmner"] - full[row["seed"]]["gmner"] for row in own if row["seed"] in full]
        same = ablation.name == "full"
        cells += ["" if same or not changes else _mean(changes, sign="+")]
        cells += ["" if same else f"{ablation.published - ABLATIONS[0].published:+.2f}"]
        lines.append(f"| {ablation.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _mean(values: Sequence[float], sign: str = "") -> str:
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):{sign}.1f}{spread}"
