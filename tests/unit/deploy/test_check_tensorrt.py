"""What the image `plans` must hold, with a library of this machine under TensorRT's name."""

from __future__ import annotations

import _ctypes
import shutil
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[3] / "deploy" / "check_tensorrt.py"
LOADS = """
import ctypes, pathlib
library = ctypes.CDLL(str(pathlib.Path(__file__).with_name("libnvinfer.so.11")))
"""


def check(folder: Path, module: str, *libraries: str) -> tuple[int, str]:
    (folder / "tensorrt.py").write_text(module)
    for name in libraries:
        shutil.copy(_ctypes.__file__, folder / name)
    ran = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout == ""
    return ran.returncode, ran.stderr


def test_all_is_there(tmp_path: Path) -> None:
    libraries = ("libnvinfer.so.11", "libnvinfer_builder_resource_sm90.so.11.1.0")
    assert check(tmp_path, LOADS, *libraries) == (0, "")


def test_a_builder_without_its_resources_is_named(tmp_path: Path) -> None:
    code, said = check(tmp_path, LOADS, "libnvinfer.so.11")
    assert code == 1
    beside = f"{tmp_path}/libnvinfer.so.11"
    assert said.startswith(f"there is no libnvinfer_builder_resource* beside {beside}; ")
    assert '"tensorrt-cu13-libs==${version}.*"' in said
    assert said.count("\n") == 1


def test_a_module_without_its_parser_is_named(tmp_path: Path) -> None:
    code, said = check(tmp_path, 'raise ImportError("libnvonnxparser.so.11: cannot open")')
    assert code == 1
    assert "does not load (libnvonnxparser.so.11: cannot open); TensorRT's own libraries" in said
