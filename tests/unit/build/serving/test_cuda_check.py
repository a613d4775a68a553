"""Whether `--profile cuda` is refused before a server is started, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mqspn.repository import ENGINES, CudaProfile, build_repository
from mqspn.repository.runtime import Gpu
from mqspn.serving import ServerError, ServerSettings, TritonServer, cuda_check
from mqspn.serving.cuda_check import check_cuda, cuda_providers
from mqspn.serving.errors import ProviderRefusedError

GPU = Gpu(name="NVIDIA L4", compute_capability="8.9")


@pytest.fixture
def repository(tiny_export: Any, tmp_path: Path) -> Path:
    build_repository(**vars(tiny_export), output=tmp_path / "repository")
    return tmp_path / "repository"


def test_no_gpu(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_check, "find_gpus", lambda: ())
    with pytest.raises(ProviderRefusedError, match=r"found no GPU, needed.*--profile cpu"):
        check_cuda(repository)
    with pytest.raises(ServerError, match="found no GPU"):
        TritonServer(ServerSettings(repository=repository, profile="cuda")).start()


def test_a_gpu_without_the_package_for_it(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_check, "find_gpus", lambda: (GPU,))
    with pytest.raises(
        ProviderRefusedError, match=r"found onnxruntime .*needed onnxruntime-gpu.*pip install"
    ):
        check_cuda(repository)


def test_a_repository_without_the_profile(repository: Path) -> None:
    for path in repository.glob("*/configs/cuda.pbtxt"):
        path.unlink()
    with pytest.raises(ProviderRefusedError, match=r"found no CUDA profile.*mqspn build"):
        check_cuda(repository)


def test_an_engine_without_the_profile_is_named(repository: Path) -> None:
    (repository / "region_encoder" / "configs" / "cuda.pbtxt").unlink()
    with pytest.raises(ProviderRefusedError, match=r"found no CUDA profile of region_encoder in"):
        check_cuda(repository)


def test_a_configuration_that_is_none(repository: Path) -> None:
    path = repository / "text_encoder" / "configs" / "cuda.pbtxt"
    path.write_text("name: 3")
    with pytest.raises(ProviderRefusedError, match=r"text_encoder/configs/cuda\.pbtxt is no model"):
        check_cuda(repository)


def test_the_same_way_without_a_gpu_is_let_through(
    tiny_export: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_check, "find_gpus", lambda: ())
    cuda = CudaProfile(provider="cpu")
    build_repository(**vars(tiny_export), output=tmp_path / "r", cuda=cuda)
    assert cuda_providers(tmp_path / "r") == dict.fromkeys(ENGINES, "cpu")
    check_cuda(tmp_path / "r")
