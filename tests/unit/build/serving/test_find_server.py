"""Which tritonserver is taken, from folders laid out as the wheel and NVIDIA's container are."""

from __future__ import annotations

from pathlib import Path

import pytest
from mqspn.serving.errors import PlatformError, ServerNotFoundError
from mqspn.serving.find_server import check_platform, find_server


def installation(root: Path, *backends: str) -> Path:
    """A tree with an executable and ``backends``; the executable's path."""
    executable = root / "bin" / "tritonserver"
    executable.parent.mkdir(parents=True)
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    for backend in backends:
        (root / "backends" / backend).mkdir(parents=True)
    return executable


def test_the_wheels_server_is_found_with_its_stubs_and_libraries() -> None:
    found = find_server("cpu")
    assert found.executable.is_file()
    assert found.stubs is not None
    assert (found.stubs / "3.11" / "triton_python_backend_stub").is_file()
    assert [p.name for p in found.libraries] == ["nvidia_pytriton.libs"]
    assert found.caches.is_dir()


def test_the_gpu_profile_needs_the_tensorrt_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerNotFoundError, match=r"lacks tensorrt.*container.*--profile cpu"):
        find_server("gpu")
    executable = installation(tmp_path / "opt", "python", "tensorrt")
    monkeypatch.setenv("PATH", str(executable.parent))
    found = find_server("gpu")
    assert found.executable == executable
    assert found.stubs is None  # the container's stub lies in the backend's own folder
    assert find_server("cpu").executable != executable  # the wheel's comes first


def test_a_given_server_is_the_only_one_looked_at(tmp_path: Path) -> None:
    executable = installation(tmp_path, "python")
    assert find_server("cpu", executable).executable == executable
    with pytest.raises(ServerNotFoundError, match="there is no such file"):
        find_server("cpu", tmp_path / "nowhere")
    with pytest.raises(ServerNotFoundError, match="lacks python"):
        find_server("cpu", installation(tmp_path / "bare"))


def test_a_link_leads_to_the_folder_with_the_backends(tmp_path: Path) -> None:
    executable = installation(tmp_path / "opt", "python")
    link = tmp_path / "local" / "bin" / "tritonserver"
    link.parent.mkdir(parents=True)
    link.symlink_to(executable)
    assert find_server("cpu", link).root == tmp_path / "opt"


@pytest.mark.parametrize(
    ("system", "machine", "python", "message"),
    [
        ("darwin", "arm64", (3, 11), r"needs Linux on x86-64, this is darwin on arm64"),
        ("linux", "aarch64", (3, 11), r"needs Linux on x86-64.*container"),
        ("linux", "x86_64", (3, 13), r"3\.10, 3\.11 or 3\.12, this is 3\.13"),
        ("linux", "x86_64", (3, 9), r"this is 3\.9"),
    ],
)
def test_a_system_the_server_does_not_run_on_is_named(
    system: str, machine: str, python: tuple[int, int], message: str
) -> None:
    with pytest.raises(PlatformError, match=message):
        check_platform(system=system, machine=machine, python=python)


@pytest.mark.parametrize("python", [(3, 10), (3, 11), (3, 12)])
def test_supported_systems_pass(python: tuple[int, int]) -> None:
    check_platform(system="linux", machine="x86_64", python=python)
