"""A whole training run at a tiny size: every stage, refused for other data, evaluated."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mqspn.checkpoint import load_checkpoint
from mqspn.data.reader import read_split
from mqspn.errors import BuildError
from mqspn.evaluation.evaluate import evaluate
from mqspn.evaluation.offline import CheckpointPredictor
from mqspn.evaluation.tune import write_decoding
from mqspn.files.lock import lock_folder
from mqspn.settings import Settings, load_settings
from mqspn.synthetic import synthesize_posts
from mqspn.training.run_folder.fingerprint import begin_run
from mqspn.training.run_folder.stage_state import StateFiles
from mqspn.training.train import train

SHORT = {
    "training.vocabulary_size": 400,
    "training.region_proposer.epochs": 1,
    "training.region_encoder.epochs": 1,
    "training.network.epochs": 2,
    "training.frozen_epochs": 1,
}
LABELS = {"PER": "PER", "LOC": "LOC", "ORG": "ORG", "OTHER": "MISC"}


@pytest.fixture(scope="module")
def short(tiny_settings: dict[str, Any]) -> dict[str, Any]:
    return {**tiny_settings, **SHORT}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    synthesize_posts(split="train", count=24, seed=1, output=folder)
    synthesize_posts(split="dev", count=8, seed=2, output=folder)
    return folder


@pytest.fixture(scope="module")
def settings(short: dict[str, Any]) -> Settings:
    return load_settings("demo", short)


@pytest.fixture(scope="module")
def trained(data: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(settings, data=data, run=folder / "run", output=folder / "one", progress=False)
    return folder


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(checkpoint).model.state_dict()


def test_every_stage_reports(trained: Path) -> None:
    report = json.loads((trained / "one" / "training_report.json").read_text())
    assert [s["name"] for s in report["stages"]] == ["region_proposer", "region_encoder", "network"]
    assert [len(s["epochs"]) for s in report["stages"]] == [1, 1, 2]
    assert report["proposer_recall_dev"]["k"] == 6
    assert report["posts"] == {"train": 24, "dev": 8}
    assert (report["processes"], report["mixed_precision"]) == (1, "no")
    assert [s["items"] for s in report["stages"]] == [24, 24, 48]
    assert all(s["posts_per_second"] > 0 for s in report["stages"])


def test_a_checkpoint_evaluates_offline(trained: Path, data: Path) -> None:
    predictor = CheckpointPredictor(load_checkpoint(trained / "one"), progress=False)
    posts = read_split(data, "dev", labels=LABELS)
    result = evaluate(posts, predictor)
    assert result["posts"] == 8
    assert set(predictor.proposals) == {post.id for post in posts if post.image}


def test_the_network_stage_leaves_the_visual_side_as_it_was(trained: Path) -> None:
    final = weights(trained / "one")
    proposer = StateFiles(trained / "run", "region_proposer").load()
    assert proposer is not None
    assert proposer.weights
    for name, value in proposer.weights.items():
        assert torch.equal(final["region_" + name], value), name
    encoder = StateFiles(trained / "run", "region_encoder").load_best(1)
    vision = {k: v for k, v in encoder.items() if k.startswith("encoder.vision.")}
    assert vision
    for name, value in vision.items():
        assert torch.equal(final["region_" + name], value), name


def test_a_runs_state_holds_no_frozen_encoder(trained: Path) -> None:
    report = json.loads((trained / "one" / "training_report.json").read_text())
    best = StateFiles(trained / "run", "network").load_best(report["stages"][2]["best_epoch"])
    parts = {name.split(".")[1] for name in best}
    assert parts == {"text_encoder", "region_encoder", "query_decoder"}
    assert not any(".vision." in name for name in best)


def test_the_visual_side_can_come_from_a_checkpoint(
    short: dict[str, Any], trained: Path, data: Path, settings: Settings, tmp_path: Path
) -> None:
    changed = {**short, "network.layers": 1, "training.network.epochs": 1, "network.width": 16}
    arguments: dict[str, Any] = {"data": data, "run": tmp_path / "run", "output": tmp_path / "two"}
    report = train(
        load_settings("demo", changed), visual_from=trained / "one", **arguments, progress=False
    )
    assert report is not None
    assert [s["name"] for s in report["stages"]] == ["network"]
    taken, found = weights(trained / "one"), weights(tmp_path / "two")
    visual = [k for k in taken if k.startswith(("region_proposer.", "region_encoder.vision."))]
    assert visual
    for name in visual:
        assert torch.equal(found[name], taken[name]), name
    arguments["output"] = tmp_path / "three"
    with pytest.raises(ValueError, match="other visual side"):
        train(load_settings("demo", changed), **arguments, progress=False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("network.crop_supersampling", 1),
        ("image_side", 96),
        ("region_encoder.config.intermediate_size", 32),
        ("region_proposer.pixel_mean.0", 0.5),
    ],
)
def test_another_visual_side_is_refused(
    short: dict[str, Any], trained: Path, data: Path, tmp_path: Path, key: str, value: object
) -> None:
    named = key.removesuffix(".0").replace(".", r"\.")
    with pytest.raises(ValueError, match=f"settings: {named} is not what"):
        train(
            load_settings("demo", {**short, key: value}),
            data=data,
            run=tmp_path / "run",
            output=tmp_path / "x",
            visual_from=trained / "one",
            progress=False,
        )


def test_boxes_can_come_from_a_folder(
    short: dict[str, Any], trained: Path, data: Path, tmp_path: Path
) -> None:
    boxes = tmp_path / "boxes"
    boxes.mkdir()
    posts = [p for split in ("train", "dev") for p in read_split(data, split, labels=LABELS)]
    for post in posts:
        np.savez(boxes / f"{post.id}.npz", num_boxes=1, bounding_boxes=[[1.0, 2.0, 30.0, 40.0]])
    settings = load_settings("demo", {**short, "training.network.epochs": 1})
    arguments: dict[str, Any] = {
        "data": data,
        "run": tmp_path / "run",
        "visual_from": trained / "one",
    }
    train(settings, **arguments, output=tmp_path / "two", proposals=boxes, progress=False)
    scores = np.load(tmp_path / "run" / "regions_train" / "scores.npy")
    assert ((scores > 0).sum(axis=1) == 1).any()
    assert not (scores[:, 1:] > 0).any()
    with pytest.raises(ValueError, match="other proposals"):
        train(settings, **arguments, output=tmp_path / "three", progress=False)


def test_text_only_training_is_chosen_by_mner(
    short: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    visual = {"training.region_proposer.epochs": 0, "training.region_encoder.epochs": 0}
    values = {**short, **visual, "training.network.epochs": 1, "training.selection": "mner"}
    report = train(
        load_settings("demo", values),
        data=data,
        run=tmp_path / "run",
        output=tmp_path / "one",
        progress=False,
    )
    assert report is not None
    (row,) = report["stages"][0]["epochs"]
    assert row["score"] == row["mner"]
    assert {"gmner", "eeg", "type", "boundary", "region"} < row.keys()


def test_a_run_of_other_settings_or_data_is_refused(
    short: dict[str, Any], trained: Path, data: Path, settings: Settings, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {
        "run": trained / "run",
        "output": tmp_path / "x",
        "progress": False,
    }
    with pytest.raises(ValueError, match=r"other settings \(network\.layers\)"):
        train(load_settings("demo", {**short, "network.layers": 3}), data=data, **arguments)
    other = tmp_path / "other"
    synthesize_posts(split="train", count=24, seed=5, output=other)
    synthesize_posts(split="dev", count=8, seed=2, output=other)
    with pytest.raises(ValueError, match="other data"):
        train(settings, data=other, **arguments)


def test_text_only_data_trains_without_the_visual_stages(
    short: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "text"
    (folder / "txt").mkdir(parents=True)
    for split in ("train", "dev"):
        source = data / "txt" / f"{split}.txt"
        (folder / "txt" / source.name).write_text(source.read_text())
    visual = {"training.region_proposer.epochs": 0, "training.region_encoder.epochs": 0}

    def run(name: str, overrides: dict[str, Any]) -> dict[str, Any] | None:
        return train(
            load_settings("demo", overrides),
            data=folder,
            run=tmp_path / f"{name}.run",
            output=tmp_path / name,
            progress=False,
        )

    report = run("text-only", {**short, **visual})
    assert report is not None
    assert [s["name"] for s in report["stages"]] == ["network"]
    with pytest.raises(ValueError, match=r"region_proposer.epochs"):
        run("other", short)


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_finished_run_is_left_as_it_is(
    trained: Path,
    data: Path,
    settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What `mqspn tune` then chose stays; also where the run's state is gone."""
    output = tmp_path / "one"
    shutil.copytree(trained / "one", output)
    write_decoding(output, replace(settings.decoding, entity_threshold=0.7))
    before = snapshot(output)
    for run in (trained / "run", tmp_path / "gone"):
        caplog.clear()
        report = train(settings, data=data, run=run, output=output, progress=False)
        assert report == json.loads((trained / "one" / "training_report.json").read_text())
        assert "already finished" in caplog.text
        assert snapshot(output) == before
    assert not (tmp_path / "gone").exists()
    assert load_checkpoint(output).settings.decoding.entity_threshold == 0.7


def test_a_finished_runs_checkpoint_is_written_again_where_it_is_gone(
    trained: Path, data: Path, settings: Settings, tmp_path: Path
) -> None:
    output = tmp_path / "again"
    train(settings, data=data, run=trained / "run", output=output, progress=False)
    expected = weights(trained / "one")
    assert all(torch.equal(value, expected[name]) for name, value in weights(output).items())


def test_what_cannot_be_written_to_or_taken_from_is_refused_at_the_start(
    short: dict[str, Any], trained: Path, data: Path, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    other = load_settings("demo", {**short, "training.seed": 4})
    arguments: dict[str, Any] = {"data": data, "run": tmp_path / "run", "progress": False}
    before = snapshot(trained / "one")
    with pytest.raises(ValueError, match="holds a checkpoint of another run; name another --outp"):
        train(other, output=trained / "one", **arguments)
    assert snapshot(trained / "one") == before
    with pytest.raises(ValueError, match="is not a folder; name another --output"):
        train(settings, output=file, **arguments)
    with pytest.raises(FileNotFoundError, match=r"nope is not a checkpoint: settings\.json is mis"):
        train(settings, output=tmp_path / "x", visual_from=tmp_path / "nope", **arguments)
    with (
        lock_folder(trained / "run", option="--run folder"),
        pytest.raises(ValueError, match=r"another process works in .*run"),
    ):
        train(settings, output=tmp_path / "x", **{**arguments, "run": trained / "run"})
    assert not (tmp_path / "run").exists()


def test_images_too_small_for_the_detector_are_refused_before_the_stages(
    short: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    small = load_settings("demo", {**short, "image_side": 7})
    with pytest.raises(BuildError, match="image_side: the region proposer takes no images of 7"):
        train(small, data=data, run=tmp_path / "run", output=tmp_path / "x", progress=False)
    assert not list((tmp_path / "run").glob("*.pt"))
    assert not (tmp_path / "x").exists()
    begin_run(tmp_path / "run", {"settings": "mended"})  # the folder is not taken


def test_a_dev_split_without_entities_is_said_and_patience_refused(
    short: dict[str, Any], data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "text"
    (folder / "txt").mkdir(parents=True)
    (folder / "txt" / "train.txt").write_text((data / "txt" / "train.txt").read_text())
    dev = (data / "txt" / "dev.txt").read_text()
    (folder / "txt" / "dev.txt").write_text(re.sub(r"\t[BI]-\w+", "\tO", dev))
    stages = ("region_proposer", "region_encoder", "network")
    values = {
        **short,
        **dict(zip((f"training.{s}.epochs" for s in stages), (0, 0, 1), strict=True)),
    }
    arguments: dict[str, Any] = {"data": folder, "run": tmp_path / "run", "output": tmp_path / "x"}
    with pytest.raises(ValueError, match=r"training\.network\.patience needs entities in the dev"):
        train(load_settings("demo", {**values, "training.network.patience": 2}), **arguments)
    report = train(load_settings("demo", values), **arguments, progress=False)
    assert report is not None
    assert report["stages"][0]["best_epoch"] is None
    assert caplog.text.count("the dev split has no entities") == 1
    assert (
        "training.frozen_epochs (1): the text encoder stays frozen in all 1 epochs" in caplog.text
    )
