"""Serving must work where only the `[server]` extra is installed."""

from __future__ import annotations

import subprocess
import sys


def test_serving_imports_none_of_the_build_packages() -> None:
    code = (
        "import sys, mqspn.serving, mqspn.serving.command\n"
        "print([m for m in ('mqspn.engines', 'torch', 'transformers', 'yaml', 'scipy', 'pydantic', "
        "'onnx', 'safetensors', 'pytriton') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "[]"
