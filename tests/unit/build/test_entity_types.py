"""A customer's own types, from the labels of the data to the served answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from mqspn.checkpoint import load_checkpoint
from mqspn.cli import main
from mqspn.data.command import app as data_app
from mqspn.data.posts import Post
from mqspn.data.reader import read_split
from mqspn.evaluation.evaluate import evaluate
from mqspn.evaluation.offline import CheckpointPredictor
from mqspn.export import build_from_checkpoint
from mqspn.regions.states import compute_region_states
from mqspn.settings import Settings, load_settings
from mqspn.synthetic import synthesize_posts
from mqspn.training.set_prediction.examples import make_examples
from mqspn.training.train import train
from mqspn_backend.decoding import Prediction
from mqspn_backend.entities import answer_json, post_entities
from mqspn_backend.serving_settings import ServingSettings
from mqspn_backend.text import TextTokenizer
from mqspn_client.types import Prediction as Answer
from mqspn_client.types import parse_answer
from typer.testing import CliRunner

TYPES = """
extends: demo
name: own-types
image_side: 64
types:
  - { name: human being, prompt: human being, label: human }
  - { name: place/site, prompt: place, label: place-of_interest }
  - { name: Marke, prompt: brand or company, label: brand co }
network: { width: 32, queries: 6, regions: 4, crop_side: 16 }
loss: { gold_repeats: 4 }
text_encoder: { config: { hidden_size: 48, num_hidden_layers: 1, intermediate_size: 64 } }
region_encoder:
  config: { num_hidden_layers: 1, hidden_size: 40, intermediate_size: 64, image_size: 16 }
training:
  vocabulary_size: 400
  region_proposer: { epochs: 0 }
  region_encoder: { epochs: 0 }
  network: { epochs: 1, batch_size: 4 }
decoding: { entity_threshold: 0.0 }
"""
NAMES = ["human being", "place/site", "Marke"]
OWN = {"PER": "human", "LOC": "place-of_interest", "ORG": "brand co", "OTHER": "brand co"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic posts whose labels are a customer's own, and the settings that name them."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.yaml").write_text(TYPES)
    for split, count in (("train", 8), ("dev", 4)):
        synthesize_posts(split=split, count=count, seed=3, output=folder / "data")
        (folder / "data" / "annotations" / f"{split}.jsonl").unlink()
        path = folder / "data" / "txt" / f"{split}.txt"
        text = path.read_text()
        for synthetic, own in OWN.items():
            text = text.replace(f"-{synthetic}\n", f"-{own}\n")
        path.write_text(text)
    return folder


@pytest.fixture(scope="module")
def settings(folder: Path) -> Settings:
    return load_settings(folder / "own.yaml")


@pytest.fixture(scope="module")
def checkpoint(folder: Path, settings: Settings) -> Path:
    train(
        settings,
        data=folder / "data",
        run=folder / "run",
        output=folder / "checkpoint",
        device="cpu",
        progress=False,
    )
    return folder / "checkpoint"


def read(folder: Path, settings: Settings, split: str) -> list[Post]:
    return read_split(folder / "data", split, labels=settings.label_names)


def test_the_fine_types_of_twitter_fmnerg() -> None:
    """51 in 8, as its paper says; each name is coarse/fine and ends in the label."""
    settings = load_settings("twitter_fmnerg")
    assert len(settings.types) == len({t.label for t in settings.types}) == 51
    coarse = {t.name.removesuffix(f"/{t.label}") for t in settings.types}
    assert coarse == {
        *("location", "building", "organization", "person", "other", "art", "event", "product")
    }
    assert len({t.prompt for t in settings.types}) == 51
    assert settings.text_encoder == load_settings("base").text_encoder


@pytest.mark.parametrize("key", ["name", "label"])
@pytest.mark.parametrize(
    ("value", "message"),
    [("LOC", "types: the {} 'LOC' stands 2 times"), ("", "types.0.{} must not be empty")],
)
def test_a_type_stands_once(key: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.format(key)):
        load_settings("demo", {f"types.0.{key}": value})


def test_the_statistics_count_them(folder: Path, settings: Settings) -> None:
    arguments = ["stats", str(folder / "data"), "--settings", str(folder / "own.yaml"), "--json"]
    result = CliRunner().invoke(data_app, arguments)
    assert result.exit_code == 0, result.output
    counted = json.loads(result.stdout)["train"]
    expected = [e.type for post in read(folder, settings, "train") for e in post.entities]
    assert counted["by_type"] == {name: expected.count(name) for name in sorted(set(expected))}
    assert set(counted["by_type"]) == set(NAMES)


def test_a_label_without_a_type_names_those_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["data", "stats", str(folder / "data"), "--settings", "base"]
    monkeypatch.setattr("sys.argv", ["mqspn", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "train.txt:" in said
    assert "has no type among those of the settings (PER, LOC, ORG, OTHER)" in said


def test_every_entity_becomes_a_target(folder: Path, checkpoint: Path) -> None:
    loaded = load_checkpoint(checkpoint)
    posts = read(folder, loaded.settings, "train")
    regions = compute_region_states(loaded.model, loaded.settings, posts, progress=False)
    text = TextTokenizer(loaded.tokenizer, loaded.settings.serving.buckets)
    examples, lost = make_examples(posts, regions, text, types=NAMES, region_iou=0.5)
    assert lost == 0
    for example, post in zip(examples, posts, strict=True):
        assert [NAMES[i - 1] for i in example.target.types] == [e.type for e in post.entities]


def test_answers_have_them(folder: Path, checkpoint: Path) -> None:
    loaded = load_checkpoint(checkpoint)
    assert [t.name for t in loaded.settings.types] == NAMES
    posts = read(folder, loaded.settings, "dev")
    predictor = CheckpointPredictor(loaded, progress=False)
    answered = [entity.type for entities in predictor.predict(posts) for entity in entities]
    assert answered
    assert set(answered) <= set(NAMES)
    scored = evaluate(posts, predictor)["by_type"]
    assert {e.type for post in posts for e in post.entities} <= set(scored) <= set(NAMES)


def test_the_model_repository_and_the_client_have_them(checkpoint: Path, tmp_path: Path) -> None:
    list(build_from_checkpoint(checkpoint, tmp_path / "repository"))
    serving = ServingSettings.from_file(tmp_path / "repository/postprocess/1/serving.json")
    assert list(serving.types) == NAMES
    graph = onnxruntime.InferenceSession(tmp_path / "repository/query_decoder/1/model.onnx")
    shapes = {output.name: output.shape for output in graph.get_outputs()}
    assert shapes["TYPE_PROBS"][1:] == [6, 4]
    text = "Ada in Graz"
    found = [Prediction(0, 0, 1, score=0.9, region=0, box=None, box_score=1.0)]
    entities = post_entities(found, text, np.array([[7, 11]]), (0, 0), serving.types)
    answer = answer_json(entities, model_version="v", truncated=False)
    parsed = parse_answer(answer.encode())
    assert isinstance(parsed, Answer)
    assert [(e.text, e.type) for e in parsed.entities] == [("Graz", "place/site")]
