"""The command: its parts are mounted, and what a user can mend is one plain line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from mqspn.cli import SyntheticSplit, app, main
from mqspn.configs import packaged_settings
from mqspn.engines.builder import FLAVOURS
from mqspn.engines.choices import EngineGraph, Flavour, LowPrecision, Precision
from mqspn.engines.precision import PRECISIONS
from mqspn.evaluation import Metric
from mqspn.repository.cuda_profile import CudaProvider
from mqspn.settings import Selection
from mqspn.synthetic.templates import TEMPLATES
from mqspn_backend.providers import PROVIDERS
from mqspn_backend.tensors import ENGINES
from typer.testing import CliRunner


def run(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    script = code or "from mqspn.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_command_is_there() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    groups = {group.name for group in app.registered_groups}
    assert names == {
        "draw-posts",
        "train",
        "evaluate",
        "tune",
        "propose",
        "ablate",
        "compile",
        "sensitivity",
        "export",
        "build",
        "serve",
        "predict",
        "batch",
    }
    assert groups == {"data"}
    assert run("evaluate", "--help").returncode == 0


def test_help_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'yaml', 'pydantic', 'onnx', 'onnxruntime', 'scipy', 'tokenizers'):\n"
        "    sys.modules[name] = None\n"
        "from mqspn.cli import main; main()"
    )
    assert run("--help", code=code).returncode == 0
    missing = run("evaluate", "--data", ".", "--checkpoint", ".", code=code)
    assert missing.returncode == 1
    assert "pip install 'mqspn-triton[build]'" in missing.stderr
    assert "Traceback" not in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", "--checkpoint", "nowhere", "--output", "x"), "not a checkpoint"),
        (
            ("train", "--data", "nowhere", "--output", "x", "--settings", "dmo"),
            "base, base_untrained, demo",
        ),
        (
            ("train", "--data", "nowhere", "--output", "x", "--set", "network.layerz=2"),
            "did you mean 'network.layers'",
        ),
        (("train", "--data", "nowhere", "--output", "x"), "no split 'train' in nowhere"),
        (("evaluate", "--data", "nowhere"), "--checkpoint DIR or --url"),
        (
            ("build", "--checkpoint", "nowhere", "--output", "x", "--cuda-fp16"),
            "fp16 is for tensorrt",
        ),
        (
            ("train", "--data", "nowhere", "--output", "x", "--set", "network.layers"),
            "--set needs key=value, not 'network.layers'",
        ),
    ],
)
def test_errors_are_plain(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["mqspn", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (1, 2)
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "option", "choices"),
    [
        (("draw-posts",), "--split", ("train", "dev", "test")),
        (("build",), "--profile", ("cpu", "cuda", "gpu")),
        (("build",), "--cuda-provider", ("cuda", "tensorrt", "cpu")),
        (("serve",), "--profile", ("cpu", "cuda", "gpu")),
        (("compile",), "--engine", ("tensorrt", "tensorrt-rtx")),
        (("compile",), "--precision", ("fp32", "fp16", "bf16", "int8")),
        (("sensitivity",), "--precision", ("fp16", "bf16")),
        (("sensitivity",), "--graph", ENGINES),
        (("tune",), "--metric", ("gmner", "mner")),
    ],
)
def test_a_choice_is_one_of_those_that_help_shows(
    arguments: tuple[str, ...], option: str, choices: tuple[str, ...]
) -> None:
    refused = CliRunner().invoke(app, [*arguments, option, "neither"], env={"COLUMNS": "400"})
    assert refused.exit_code == 2
    said = " ".join(refused.output.split())
    assert f"'neither' is not one of {', '.join(map(repr, choices))}" in said


def test_choices_are_those_of_the_libraries() -> None:
    assert get_args(EngineGraph) == ENGINES
    assert get_args(Precision) == (*PRECISIONS, "int8")
    assert set(get_args(LowPrecision)) < set(PRECISIONS)
    assert get_args(Flavour) == tuple(FLAVOURS)
    assert set(get_args(CudaProvider)) == set(PROVIDERS)
    assert get_args(SyntheticSplit) == tuple(TEMPLATES)
    assert get_args(Metric) == get_args(Selection)


@pytest.mark.parametrize("command", ["train", "ablate", "evaluate", "compile", "propose"])
def test_help_names_the_packaged_settings(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "400"})
    assert ", ".join(packaged_settings()) in " ".join(shown.output.split())


def test_draw_posts_can_be_read_back(tmp_path: Path) -> None:
    assert (
        run(
            "draw-posts", "--split", "dev", "--count", "3", "--seed", "4", "--output", str(tmp_path)
        ).returncode
        == 0
    )
    stats = run("data", "stats", str(tmp_path), "--json")
    assert stats.returncode == 0
    assert json.loads(stats.stdout)["dev"]["posts"] == 3
