"""A whole training run at a tiny size: every stage, resumed, refused for other data, evaluated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from mqspn.checkpoint import load_checkpoint
from mqspn.data.reader import read_split
from mqspn.drawing import draw_posts
from mqspn.evaluation.evaluate import evaluate
from mqspn.evaluation.offline import CheckpointPredictor
from mqspn.settings import Settings, load_settings
from mqspn.training import train as train_module
from mqspn.training.train import train

TINY = {
    "image_side": 64,
    "text_encoder.config.hidden_size": 48,
    "text_encoder.config.num_hidden_layers": 1,
    "text_encoder.config.intermediate_size": 64,
    "region_encoder.config.num_hidden_layers": 1,
    "region_encoder.config.hidden_size": 40,
    "region_encoder.config.intermediate_size": 64,
    "region_encoder.config.image_size": 16,
    "network.crop_side": 16,
    "network.width": 32,
    "network.queries": 8,
    "network.regions": 6,
    "loss.gold_repeats": 6,
    "training.vocabulary_size": 400,
    "training.region_proposer.epochs": 1,
    "training.region_encoder.epochs": 1,
    "training.network.epochs": 2,
    "training.frozen_epochs": 1,
}
LABELS = {"PER": "PER", "LOC": "LOC", "ORG": "ORG", "OTHER": "MISC"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_posts(split="train", count=24, seed=1, output=folder)
    draw_posts(split="dev", count=8, seed=2, output=folder)
    return folder


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings("demo", TINY)


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


def test_a_checkpoint_evaluates_offline(trained: Path, data: Path) -> None:
    predictor = CheckpointPredictor(load_checkpoint(trained / "one"), progress=False)
    posts = read_split(data, "dev", labels=LABELS)
    result = evaluate(posts, predictor)
    assert result["posts"] == 8
    assert set(predictor.proposals) == {post.id for post in posts if post.image}


def test_the_network_stage_leaves_the_visual_side_as_it_was(trained: Path) -> None:
    final = weights(trained / "one")
    proposer = torch.load(trained / "run" / "region_proposer.pt", weights_only=False)["module"]
    for name, value in proposer.items():
        assert torch.equal(final[f"region_proposer.{name}"], value), name
    best = torch.load(trained / "run" / "region_encoder.pt", weights_only=False)["best"]
    vision = {k: v for k, v in best.items() if k.startswith("encoder.vision.")}
    assert vision
    for name, value in vision.items():
        assert torch.equal(final["region_" + name], value), name


def test_a_run_killed_in_its_last_stage_gives_the_same_weights(
    trained: Path, data: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both runs start from the same first two stages; one is killed in the last one's epoch 2."""
    for name in ("whole", "killed"):
        shutil.copytree(trained / "run", tmp_path / name)
        (tmp_path / name / "network.pt").unlink()
    train(settings, data=data, run=tmp_path / "whole", output=tmp_path / "one", progress=False)

    original = train_module.network_stage

    def dies_in_its_second_epoch(*arguments: object) -> object:
        stage, lost = original(*arguments)
        batches = stage.batches

        def killed(epoch: int, random: object) -> object:
            if epoch == 1:
                raise KeyboardInterrupt
            return batches(epoch, random)

        stage.batches = killed
        return stage, lost

    arguments = {"data": data, "run": tmp_path / "killed", "output": tmp_path / "two"}
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "network_stage", dies_in_its_second_epoch)
        with pytest.raises(KeyboardInterrupt):
            train(settings, **arguments, progress=False)
    assert not (tmp_path / "two").exists()
    train(settings, **arguments, progress=False)
    expected, found = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_a_run_of_other_settings_or_data_is_refused(
    trained: Path, data: Path, settings: Settings, tmp_path: Path
) -> None:
    arguments = {"run": trained / "run", "output": tmp_path / "x", "progress": False}
    with pytest.raises(ValueError, match="other settings"):
        train(load_settings("demo", {**TINY, "network.layers": 3}), data=data, **arguments)
    other = tmp_path / "other"
    draw_posts(split="train", count=24, seed=5, output=other)
    draw_posts(split="dev", count=8, seed=2, output=other)
    with pytest.raises(ValueError, match="other data"):
        train(settings, data=other, **arguments)


def test_text_only_data_trains_without_the_visual_stages(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "text"
    (folder / "txt").mkdir(parents=True)
    for split in ("train", "dev"):
        source = data / "txt" / f"{split}.txt"
        (folder / "txt" / source.name).write_text(source.read_text())
    visual = {"training.region_proposer.epochs": 0, "training.region_encoder.epochs": 0}
    arguments = {"data": folder, "output": tmp_path / "text-only", "progress": False}
    report = train(load_settings("demo", {**TINY, **visual}), run=tmp_path / "run", **arguments)
    assert [s["name"] for s in report["stages"]] == ["network"]
    with pytest.raises(ValueError, match=r"region_proposer.epochs"):
        train(load_settings("demo", TINY), run=tmp_path / "other", **arguments)
