"""What runs inside Triton finds few packages there, so it imports no others."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import mqspn_backend
import pytest

SOURCES = Path(mqspn_backend.__file__).parent
ALLOWED = sys.stdlib_module_names | {
    *("mqspn_backend", "numpy", "PIL", "tokenizers", "onnxruntime"),
    "triton_python_backend_utils",  # Triton's own
}
#: Only asked for, to load its libraries for ONNX Runtime; its absence is told to the user.
ASKED_FOR = {("providers.py", "tensorrt")}


def imports(source: str) -> Iterator[str]:
    """Every module that ``source`` imports, inside functions, for types and by its name too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module if node.module and not node.level else "mqspn_backend"
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in ("import_module", "__import__"):
                name = node.args[0]
                # A name that is made at run time could be anything.
                yield str(name.value) if isinstance(name, ast.Constant) else "?"


def foreign(file: str, source: str) -> set[str]:
    """The packages that ``source`` imports and that are not allowed in ``file``."""
    packages = {name.partition(".")[0] for name in imports(source)}
    return {p for p in packages - ALLOWED if (file, p) not in ASKED_FOR}


@pytest.mark.parametrize(
    "path", sorted(SOURCES.rglob("*.py")), ids=lambda path: path.relative_to(SOURCES).as_posix()
)
def test_a_module_imports_what_is_there_inside_triton(path: Path) -> None:
    assert foreign(path.relative_to(SOURCES).as_posix(), path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("source", "package"),
    [
        ("import typer", "typer"),
        ("import numpy, scipy.optimize", "scipy"),
        ("from google.protobuf import text_format", "google"),
        ("def f():\n    import yaml", "yaml"),
        ("if TYPE_CHECKING:\n    from mqspn.data import Post", "mqspn"),
        ("import importlib\nimportlib.import_module('mqspn.device')", "mqspn"),
        ("from importlib import import_module\nimport_module('mqspn_client')", "mqspn_client"),
        ("__import__('torch')", "torch"),
        ("import importlib\nimportlib.import_module(name)", "?"),
        ("import importlib\nimportlib.import_module('tensorrt')", "tensorrt"),
    ],
)
def test_another_import_is_found(source: str, package: str) -> None:
    assert foreign("engine.py", source) == {package}
