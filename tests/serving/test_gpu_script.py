"""`loadtest/gpu.py` from end to end on the CPU: the real server, the smallest counts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COUNTS = ["--posts", "8", "--callers", "1", "--callers", "4", "--seconds", "0.5", "--rounds", "1"]


@pytest.mark.slow
def test_one_run_on_the_cpu(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    command = [sys.executable, str(ROOT / "loadtest" / "gpu.py"), "--output", str(output)]
    command += ["--size", "demo", "--profile", "cpu", "--precision", "fp32", *COUNTS]
    command += ["--baseline", "eager", "--baseline", "tensorrt-rtx"]
    command += ["--work", str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    report = json.loads(output.read_text())
    assert done.returncode == 0, (done.stderr, report["failures"])
    assert report["failures"] == []
    assert report["complete"]
    assert report["answers"]["equal"] == report["answers"]["posts"] == 8
    assert report["answers"]["entities"] > 0
    assert max(report["engines"]["largest_difference"].values()) < 1e-3
    assert [level["callers"] for level in report["server"]["levels"]] == [1, 4]
    for level in report["server"]["levels"]:
        assert level["calls"] >= level["callers"]
        assert level["failed"] == 0
        assert set(report["engines"]["largest_difference"]) < set(level["stages"])
        assert level["stages"]["region_encoder"]["compute_ms"] > 0
    assert report["server"]["memory"]["server_rss_mib"] > 100
    assert report["peak"]["tflops"] > 0
    assert report["flops_per_post"] > 1e6
    rows = {(row["name"], row["batch"]): row for row in report["comparison"]}
    eager = rows["PyTorch eager fp32", 8]
    assert eager["ratio_to_eager"] == 1.0
    assert 0 < eager["share_of_peak"] < 1
    served = [row for row in rows.values() if row["name"].startswith("server")]
    assert len(served) == 2
    assert all(row["ratio_to_eager"] > 0 for row in served)
    if report["machine"]["gpu"] is None:
        assert "needs a GPU" in rows["TensorRT-RTX fp32", 8]["not_measured"]
    assert "posts/s" in done.stdout
    assert (tmp_path / "kept" / "model_repository" / "text_encoder").is_dir()
    assert report["settings"]["work"] == "kept"
