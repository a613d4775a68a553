"""A repository of links with more instances of the vision engines; the repository untouched."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from mqspn.serving.errors import ServerError
from mqspn.serving.instances import MULTIPLIED, link_instances
from mqspn_backend.cores import usable_cores
from tritonclient.grpc import model_config_pb2 as pb

REPOSITORY = Path(__file__).resolve().parents[4] / "model_repository"


def configuration(repository: Path, model: str, profile: str = "cpu") -> pb.ModelConfig:
    text = (repository / model / "configs" / f"{profile}.pbtxt").read_text()
    return text_format.Parse(text, pb.ModelConfig())


def test_only_the_instances_of_the_vision_engines_change(tmp_path: Path) -> None:
    made = link_instances(REPOSITORY, tmp_path / "models", profile="cpu", instances=3)
    assert {p.name for p in made.iterdir()} == {p.name for p in REPOSITORY.iterdir() if p.is_dir()}
    for model in (path.name for path in made.iterdir()):
        original = configuration(REPOSITORY, model)
        if model in MULTIPLIED:
            assert [group.count for group in original.instance_group] == [1]
            original.instance_group[0].count = 3
            threads = max(1, usable_cores() // 3)  # together no more than the cores
            original.parameters["threads"].string_value = str(threads)
            graph = Path(model) / "1" / "model.onnx"
            assert (made / graph).samefile(REPOSITORY / graph)
        assert configuration(made, model) == original


def test_a_configuration_that_is_absent_is_named(tmp_path: Path) -> None:
    (tmp_path / "repository" / "region_proposer").mkdir(parents=True)
    with pytest.raises(ServerError, match=r"region_proposer/configs/cpu\.pbtxt.*mqspn build"):
        link_instances(tmp_path / "repository", tmp_path / "m", profile="cpu", instances=2)
