"""The ablations: every part off in turn at a tiny size, done work kept, and the table by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mqspn.checkpoint import Checkpoint, save_checkpoint
from mqspn.files.lock import lock_folder
from mqspn.network import Mqspn
from mqspn.settings import load_settings
from mqspn.synthetic import synthesize_posts
from mqspn.training.ablations import ABLATIONS, ablation_table, run_ablations

SHORT = {"training.vocabulary_size": 400, "training.network.epochs": 1}


@pytest.fixture(scope="module")
def short(tiny_settings: dict[str, Any]) -> dict[str, Any]:
    return {**tiny_settings, **SHORT}


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda ablation: ablation.name)
def test_every_ablation_changes_the_settings(ablation: Any) -> None:
    changed = load_settings("demo", dict(ablation.overrides)) != load_settings("demo")
    assert changed == (ablation.name != "full")


def test_they_run_and_done_work_is_kept(
    short: dict[str, Any], checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = [
        ABLATIONS[0],
        *(a for a in ABLATIONS if a.name in ("no prefix integration", "no aggregator")),
    ]
    monkeypatch.setattr("mqspn.training.ablations.ABLATIONS", some)
    for seed, (split, count) in enumerate({"train": 12, "dev": 4, "test": 4}.items()):
        synthesize_posts(split=split, count=count, seed=seed, output=tmp_path / "data")
    save_checkpoint(checkpoint, tmp_path / "visual")

    def run(data: str = "data", visual: str = "visual", **overrides: Any) -> list[dict[str, Any]]:
        return run_ablations(
            data=tmp_path / data,
            work=tmp_path / "work",
            settings="demo",
            overrides={**short, **overrides},
            visual_from=tmp_path / visual,
            seeds=[5, 5],
        )

    rows = run()
    assert [row["name"] for row in rows] == [ablation.name for ablation in some]
    assert all(0 <= row[metric] <= 1 for row in rows for metric in ("mner", "eeg", "gmner"))
    kept = sorted((tmp_path / "work").glob("*/scores.json"))
    stamps = [path.stat().st_mtime_ns for path in kept]
    assert len(kept) == len(some) == 3
    assert run() == rows
    assert [path.stat().st_mtime_ns for path in kept] == stamps
    with pytest.raises(ValueError, match=r"other settings \(network\.layers\); name another"):
        run(**{"network.layers": 1})
    for split, count, seed in (("train", 12, 0), ("dev", 4, 1), ("test", 4, 9)):
        synthesize_posts(split=split, count=count, seed=seed, output=tmp_path / "other")
    with pytest.raises(ValueError, match="other test posts; name another --work"):
        run(data="other")
    other = Mqspn(checkpoint.settings, checkpoint.tokenizer)
    save_checkpoint(replace(checkpoint, model=other), tmp_path / "another")
    with pytest.raises(ValueError, match="other visual side; name another --work"):
        run(visual="another")
    with pytest.raises(FileNotFoundError, match="nope is not a checkpoint"):
        run(visual="nope")
    with (
        lock_folder(tmp_path / "work", option="--work folder"),
        pytest.raises(ValueError, match=r"another process works in .*/work; .* another --work"),
    ):
        run()
    settings = json.loads((tmp_path / "work/no-aggregator-5/scores.json").read_text())["settings"]
    assert settings["network"]["aggregator"] is False


def test_the_table_by_hand() -> None:
    rows = [
        {"name": "full", "seed": 1, "mner": 0.9, "eeg": 0.8, "gmner": 0.70},
        {"name": "full", "seed": 2, "mner": 0.9, "eeg": 0.8, "gmner": 0.74},
        {"name": "no aggregator", "seed": 1, "mner": 0.9, "eeg": 0.8, "gmner": 0.69},
        {"name": "no aggregator", "seed": 2, "mner": 0.9, "eeg": 0.8, "gmner": 0.71},
    ]
    lines = ablation_table(rows).splitlines()
    assert len(lines) == 4
    assert lines[2] == "| full | 90.0 ± 0.0 | 80.0 ± 0.0 | 72.0 ± 2.8 |  |  |"
    assert lines[3] == (
        "| no aggregator | 90.0 ± 0.0 | 80.0 ± 0.0 | 70.0 ± 1.4 | -2.0 ± 1.4 | -0.63 |"
    )
