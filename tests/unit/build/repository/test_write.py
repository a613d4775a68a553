"""A repository is whole, the same every time, and never written over something else."""

from __future__ import annotations

import ast
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mqspn.repository import GraphMismatchError, RepositoryError, build_repository
from mqspn.repository.model_configuration import ENSEMBLES
from mqspn_backend.serving_settings import ServingSettings
from mqspn_backend.tensors import ENGINES, MODELS


def build(export: Any, output: Path, **changes: Any) -> None:
    build_repository(**{**vars(export), "output": output, **changes})


def contents(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_the_repository_is_complete(tiny_export: Any, tmp_path: Path) -> None:
    build(tiny_export, tmp_path / "repository")
    assert [p.name for p in tmp_path.iterdir()] == ["repository"], "something was left beside it"
    files = contents(tmp_path / "repository")
    expected = {"preprocess/1/tokenizer.json"}
    for name in (*ENSEMBLES, *MODELS):
        expected |= {f"{name}/config.pbtxt"}
        expected |= {f"{name}/configs/{profile}.pbtxt" for profile in ("cpu", "cuda")}
    expected |= {f"{name}/1/.gitkeep" for name in ENSEMBLES}
    expected |= {"region_proposer/warmup/IMAGE_SIZE.bin", "query_decoder/warmup/REGION_SCORES.bin"}
    expected |= {f"{name}/1/model.py" for name in MODELS}
    expected |= {f"{name}/1/model.onnx" for name in ENGINES}
    expected |= {f"{name}/1/serving.json" for name in ("preprocess", "postprocess")}
    assert set(files) == expected
    serving = files["postprocess/1/serving.json"].decode()
    assert ServingSettings.from_json(serving) == tiny_export.serving
    for name in ENGINES:
        graph = (tiny_export.graphs / f"{name}.onnx").read_bytes()
        assert files[f"{name}/1/model.onnx"] == graph


def test_each_model_imports_its_own_class(tiny_export: Any, tmp_path: Path) -> None:
    build(tiny_export, tmp_path)
    for name in MODELS:
        tree = ast.parse((tmp_path / name / "1" / "model.py").read_text(encoding="utf-8"))
        imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
        module = "engine" if name in ENGINES else name
        assert [i.module for i in imports] == [f"mqspn_backend.models.{module}"]
        assert [a.name for a in imports[0].names] == ["TritonPythonModel"]
        assert imports[0].names[0].asname is None


def test_the_same_checkpoint_gives_the_same_bytes(tiny_export: Any, tmp_path: Path) -> None:
    build(tiny_export, tmp_path / "a")
    build(tiny_export, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_the_files_may_be_read_by_a_server_of_another_user(
    tiny_export: Any, tmp_path: Path
) -> None:
    build(tiny_export, tmp_path / "repository")
    assert (tmp_path / "repository").stat().st_mode & 0o055 == 0o055


def test_a_repository_is_replaced_only_when_asked(tiny_export: Any, tmp_path: Path) -> None:
    output = tmp_path / "repository"
    build(tiny_export, output)
    before = contents(output)
    changed = replace(tiny_export.serving, model_version="next")
    with pytest.raises(RepositoryError, match="already"):
        build(tiny_export, output, serving=changed)
    assert contents(output) == before
    build(tiny_export, output, serving=changed, overwrite=True)
    assert "next" in (output / "preprocess" / "1" / "serving.json").read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["repository"]


def test_a_repository_of_before_the_text_ensemble_is_replaced(
    tiny_export: Any, tmp_path: Path
) -> None:
    output = tmp_path / "repository"
    build(tiny_export, output)
    whole = contents(output)
    shutil.rmtree(output / "mqspn_text")
    with pytest.raises(RepositoryError, match="already"):
        build(tiny_export, output)
    build(tiny_export, output, overwrite=True)
    assert contents(output) == whole


@pytest.mark.parametrize("overwrite", [False, True])
def test_another_folder_is_never_replaced(
    overwrite: bool, tiny_export: Any, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RepositoryError, match="not a model repository"):
        build(tiny_export, tmp_path, overwrite=overwrite)
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


def test_a_repository_with_a_model_of_the_users_is_never_replaced(
    tiny_export: Any, tmp_path: Path
) -> None:
    build(tiny_export, tmp_path)
    (tmp_path / "own_model").mkdir()
    with pytest.raises(RepositoryError, match="own_model"):
        build(tiny_export, tmp_path, overwrite=True)
    assert (tmp_path / "own_model").is_dir()


def test_a_file_is_no_place_for_a_repository(tiny_export: Any, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with pytest.raises(RepositoryError, match="is a file"):
        build(tiny_export, tmp_path / "f", overwrite=True)


@pytest.mark.parametrize("exists", [False, True])
def test_a_failed_build_leaves_what_was_there(
    exists: bool, tiny_export: Any, tmp_path: Path
) -> None:
    output = tmp_path / "repository"
    if exists:
        build(tiny_export, output)
    before = contents(tmp_path)
    with pytest.raises(GraphMismatchError, match="TEXT_STATES"):
        build(tiny_export, output, width=99, overwrite=True)
    with pytest.raises(RepositoryError, match=r"nowhere.*mqspn export"):
        build(tiny_export, output, tokenizer=tmp_path / "nowhere", overwrite=True)
    assert contents(tmp_path) == before
    assert output.exists() == exists


def test_a_write_that_fails_half_way_leaves_nothing(
    tiny_export: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "repository"
    build(tiny_export, output)
    before = contents(output)

    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="no space"):
        build(tiny_export, output, overwrite=True)
    assert contents(output) == before
    assert [p.name for p in tmp_path.iterdir()] == ["repository"]


def test_the_tokenizer_may_be_given_as_its_folder(tiny_export: Any, tmp_path: Path) -> None:
    build(tiny_export, tmp_path, tokenizer=tiny_export.tokenizer.parent)
    copy = tmp_path / "preprocess" / "1" / "tokenizer.json"
    assert copy.read_bytes() == tiny_export.tokenizer.read_bytes()
