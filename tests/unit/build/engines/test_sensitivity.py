"""`mqspn sensitivity` says which layers to keep, by the names that `mqspn compile --keep` takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from mqspn.cli import app
from mqspn.engines.kept_layers import find_layers
from mqspn.synthetic import synthesize_posts
from typer.testing import CliRunner


@pytest.fixture
def posts_folder(tmp_path: Path) -> Path:
    synthesize_posts(split="dev", count=8, seed=1, output=tmp_path / "posts", progress=False)
    return tmp_path / "posts"


def test_the_command_measures_what_the_graph_has(demo_repository: Path, posts_folder: Path) -> None:
    arguments = ["sensitivity", "--repository", str(demo_repository), "--graph", "text_encoder"]
    arguments += ["--data", str(posts_folder), "--settings", "demo"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    # It has no sigmoid.
    assert [line.partition(" (")[0] for line in lines] == [
        "text_encoder:layer norms",
        "text_encoder:softmaxes",
    ]
    assert all(find_layers(line.partition(" (")[0]).graph == "text_encoder" for line in lines)
    assert all(line.endswith(("keep", "not needed")) for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--precision", "int8"], "'int8' is not fp16 or bf16"),
        (["--graph", "encoder"], "'encoder' is not text_encoder or"),
        (["--repository", "/nowhere"], "make the model repository with `mqspn build`"),
    ],
)
def test_what_it_cannot_measure_is_named(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["sensitivity", *arguments])
    assert result.exit_code != 0
    assert message in f"{result.output} {result.exception}"


def test_few_posts_are_refused(demo_repository: Path, tmp_path: Path) -> None:
    synthesize_posts(split="dev", count=7, seed=1, output=tmp_path, progress=False)
    arguments = ["sensitivity", "--repository", str(demo_repository), "--data", str(tmp_path)]
    result = CliRunner().invoke(app, [*arguments, "--settings", "demo"])
    assert "7 posts are too few: give 8 or more" in str(result.exception)
