"""The private folder: the right stub, every backend, nothing written to the installation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mqspn.serving.backend_directory import link_backends, server_environment
from mqspn.serving.errors import ServerNotFoundError
from mqspn.serving.find_server import Installation

STUB = "triton_python_backend_stub"


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Laid out as the wheel, with stubs for 3.10 and 3.11 and a TensorRT backend."""
    root = tmp_path / "tritonserver"
    for folder in ("bin", "backends/python", "backends/tensorrt", "caches"):
        (root / folder).mkdir(parents=True)
    for version in ("3.10", "3.11"):
        (root / "python_backend_stubs" / version).mkdir(parents=True)
        (root / "python_backend_stubs" / version / STUB).write_text(version)
    (root / "backends" / "python" / "libtriton_python.so").write_text("library")
    (root / "lib").mkdir()
    return Installation(
        executable=root / "bin" / "tritonserver",
        root=root,
        stubs=root / "python_backend_stubs",
        libraries=(root / "lib",),
    )


@pytest.mark.parametrize("python", [(3, 10), (3, 11)])
def test_the_stub_of_the_running_python_is_linked(
    python: tuple[int, int], installation: Installation, tmp_path: Path
) -> None:
    (tmp_path / "private").mkdir()
    backends = link_backends(installation, tmp_path / "private", python)
    assert (backends / "python" / STUB).read_text() == f"{python[0]}.{python[1]}"
    assert (backends / "python" / "libtriton_python.so").read_text() == "library"
    assert sorted(p.name for p in backends.iterdir()) == ["python", "tensorrt"]
    assert not (installation.backends / "python" / STUB).exists()


def test_a_python_without_a_stub_is_named(installation: Installation, tmp_path: Path) -> None:
    with pytest.raises(ServerNotFoundError, match=r"Python 3\.12, only for 3\.10, 3\.11"):
        link_backends(installation, tmp_path, (3, 12))


def test_the_containers_own_backends_are_used_as_they_are(
    installation: Installation, tmp_path: Path
) -> None:
    container = Installation(
        executable=installation.executable, root=installation.root, stubs=None, libraries=()
    )
    with pytest.raises(ServerNotFoundError, match=STUB):
        link_backends(container, tmp_path)
    (container.backends / "python" / STUB).write_text("stub")
    assert link_backends(container, tmp_path) == container.backends


def test_the_drivers_library_gets_the_name_that_triton_asks_for(
    installation: Installation, tmp_path: Path
) -> None:
    driver = tmp_path / "driver" / "libcuda.so.580.65"
    driver.parent.mkdir()
    driver.write_text("driver")
    folder = tmp_path / "private"
    folder.mkdir()
    env = server_environment(installation, folder, None, {}, ["/packages"], cuda_driver=driver)
    assert (folder / "lib" / "libcuda.so").read_text() == "driver"
    assert str(folder / "lib") in env["LD_LIBRARY_PATH"].split(":")


def test_the_environment(installation: Installation, tmp_path: Path) -> None:
    library = tmp_path / "elsewhere" / "libpython3.11.so.1.0"
    library.parent.mkdir()
    library.write_text("library")
    folder = tmp_path / "private"
    folder.mkdir()
    given = {"PATH": "/bin", "LD_LIBRARY_PATH": "/mine", "PYTHONHOME": "/wrong", "KEEP": "yes"}
    env = server_environment(installation, folder, library, given, ["/packages"])
    assert env["LD_LIBRARY_PATH"].split(":") == [
        str(installation.root / "lib"),
        str(folder / "lib"),
        "/mine",
    ]
    assert [p.name for p in (folder / "lib").glob("lib*")] == [library.name]
    assert env["PATH"].split(":") == [str(folder / "bin"), "/bin"]
    assert env["PYTHONPATH"] == "/packages"
    assert "PYTHONHOME" not in env
    assert env["KEEP"] == "yes"
    assert given["PATH"] == "/bin"


def test_its_python3_imports_what_this_interpreter_imports(
    installation: Installation, tmp_path: Path
) -> None:
    env = server_environment(installation, tmp_path, None, {"PATH": os.environ["PATH"]})
    code = "import sys, numpy, mqspn_backend; print(numpy.__file__, sys.dont_write_bytecode)"
    # -I, because the wheel's stub ignores PYTHONPATH in the same way.
    ran = subprocess.run(
        [str(tmp_path / "bin" / "python3"), "-I", "-c", code],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    import numpy

    assert ran.stdout.split() == [numpy.__file__, "True"]
    assert Path(sys.executable).resolve() == (tmp_path / "bin" / "python3").resolve()


def test_the_folder_of_the_running_script_stays_out(
    installation: Installation, tmp_path: Path
) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "private").mkdir()
    script = tmp_path / "scripts" / "run.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from mqspn.serving.backend_directory import server_environment\n"
        "from mqspn.serving.find_server import Installation\n"
        "root = Path(sys.argv[1])\n"
        "made = Installation(executable=root, root=root, stubs=None, libraries=())\n"
        "print(server_environment(made, Path(sys.argv[2]), None)['PYTHONPATH'])\n"
    )
    ran = subprocess.run(
        [sys.executable, str(script), str(installation.root), str(tmp_path / "private")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    folders = ran.stdout.strip().split(":")
    assert str(tmp_path / "scripts") not in folders
    assert str(tmp_path) not in folders
    assert any(folder.endswith("site-packages") for folder in folders)
