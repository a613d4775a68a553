"""The report: on disk after each part, whatever becomes of the next."""

import json

import pytest
from bench.report import GpuReport, describe_gpu_machine, print_report


def test_a_part_that_fails_keeps_what_was_measured(tmp_path):
    path = tmp_path / "reports" / "gpu.json"
    report = GpuReport(path, {"settings": {"size": "demo"}})
    with report.part("server"):
        report["server"] = {"levels": [1]}
        raise RuntimeError("the GPU fell off the bus")
    found = json.loads(path.read_text())
    assert found["settings"] == {"size": "demo"}
    assert found["server"] == {"levels": [1]}
    assert found["failures"] == ["server: the GPU fell off the bus"]
    assert found["parts_s"]["server"] >= 0
    assert found["complete"] is False


def test_ctrl_c_ends_the_run_and_keeps_what_was_measured(tmp_path):
    path = tmp_path / "gpu.json"
    report = GpuReport(path, {})

    def interrupted():
        with report.part("server"):
            report["server"] = 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert json.loads(path.read_text())["server"] == 1


def test_a_report_of_nothing_but_a_failure_is_printed(capsys):
    report = GpuReport(
        None,
        {
            "machine": describe_gpu_machine(),
            "settings": {
                "size": "demo",
                "profile": "cpu",
                "precision": "fp32",
                "served_precision": "fp32",
            },
        },
    )
    report.fail("server: no [server] extra")
    print_report(report.values)
    assert "FAILED server: no [server] extra" in capsys.readouterr().out
    assert report["machine"]["versions"]["torch"]
