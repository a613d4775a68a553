"""`loadtest/compare.py` from end to end: the real server beside baselines, the smallest counts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_one_run_with_a_server_fastapi_and_the_chain(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "loadtest" / "compare.py"), "--quick"]
    command += ["--output", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    command += ["--rounds", "1", "--posts", "16", "--minutes", "0.5", "--threads", "1"]
    command += ["--calls", "1", "--fastapi-mark", "0.01", "--chain-mark", "0.01", "--all-marks"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, (done.stdout, done.stderr)
    report = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert report["failures"] == []
    assert report["rounds_done"] == 1
    assert report["settings"]["fastapi"] == {"threads": 1, "calls": 1}
    speeds = {(row["kind"], row["system"]) for row in report["speed"]}
    systems = ("server", "fastapi", "chain")
    assert speeds == {(kind, name) for kind in ("images", "text") for name in systems}
    for row in report["speed"]:
        assert row["posts_per_second"]["rounds"] == 1
        assert row["failed"] == row["wrong"] == 0
        assert row["latency"]["answers"] > 0
    assert {mark["kept"] for mark in report["marks"]} == {True}
    assert "posts with images" in (tmp_path / "out" / "compare.md").read_text()
    assert (tmp_path / "out" / "compare.png").read_bytes().startswith(b"\x89PNG")

    # The rows alone give the report again; a mark out of reach breaks it.
    command = [*command[:2], "--rows", str(tmp_path / "out" / "rows.jsonl")]
    command += ["--output", str(tmp_path / "again"), "--chain-mark", "1000"]
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 1, again.stderr
    assert "not reached" in again.stdout
