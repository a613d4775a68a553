"""The cores that a process may use: affinity, and quotas of control groups of either version."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mqspn_backend
import pytest
from mqspn_backend.cores import cgroup_quota, usable_cores

PERIOD = "100000"


def machine(root: Path, *, groups: str, mounts: str, files: dict[str, str]) -> Path:
    """Write below ``root`` what Linux shows of control groups."""
    files = {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **files}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return root


def version_2(root: Path, files: dict[str, str], *, own: str = "/", mounted: str = "/") -> Path:
    return machine(
        root,
        groups=f"0::{own}",
        mounts=f"30 23 0:26 {mounted} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup rw",
        files={f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    )


def version_1(root: Path, quotas: dict[str, str], *, own: str = "/", mounted: str = "/") -> Path:
    folder = "sys/fs/cgroup/cpu,cpuacct"
    files = {f"{folder}/{name}cpu.cfs_quota_us": quota for name, quota in quotas.items()}
    files |= {f"{folder}/{name}cpu.cfs_period_us": PERIOD for name in quotas}
    return machine(
        root,
        groups=f"12:cpuset:/other\n4:cpu,cpuacct:{own}\n1:name=systemd:/init\n0::/unified",
        mounts="\n".join(
            [
                "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755",
                f"32 31 0:29 {mounted} /sys/fs/cgroup/cpu,cpuacct - cgroup cgroup rw,cpu,cpuacct",
                "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset",
                "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
            ]
        ),
        files=files,
    )


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": f"150000 {PERIOD}"}, 1.5),
        ({"cpu.max": f"max {PERIOD}"}, None),
        ({}, None),
        ({"cpu.max": "nonsense"}, None),
    ],
)
def test_a_container_of_version_2_sees_its_group_as_the_root(
    files: dict[str, str], quota: float | None, tmp_path: Path
) -> None:
    assert cgroup_quota(version_2(tmp_path, files)) == quota


@pytest.mark.parametrize(
    ("above", "own", "quota"),
    [("400000", "max", 4.0), ("400000", "100000", 1.0), ("max", "max", None)],
)
def test_the_smallest_quota_of_the_group_and_those_above_counts(
    above: str, own: str, quota: float | None, tmp_path: Path
) -> None:
    files = {"batch/cpu.max": f"{above} {PERIOD}", "batch/job/step/cpu.max": f"{own} {PERIOD}"}
    assert cgroup_quota(version_2(tmp_path, files, own="/batch/job/step")) == quota


@pytest.mark.parametrize(("quota", "cores"), [("50000", 0.5), ("300000", 3.0), ("-1", None)])
def test_version_1(quota: str, cores: float | None, tmp_path: Path) -> None:
    assert cgroup_quota(version_1(tmp_path, {"": quota})) == cores


def test_version_1_has_groups_above_as_well(tmp_path: Path) -> None:
    quotas = {"": "-1", "batch/": "200000", "batch/job/": "250000"}
    assert cgroup_quota(version_1(tmp_path, quotas, own="/batch/job")) == 2.0


def test_a_container_may_be_told_its_path_outside(tmp_path: Path) -> None:
    """Version 1 without a namespace: the group's folder is mounted as if it were the root."""
    root = version_1(tmp_path, {"": "100000"}, own="/docker/abc", mounted="/docker/abc")
    assert cgroup_quota(root) == 1.0


@pytest.mark.parametrize("own", ["/../../outside", "/elsewhere"])
def test_a_group_that_cannot_be_reached_leaves_the_mount_point(own: str, tmp_path: Path) -> None:
    files = {"cpu.max": f"100000 {PERIOD}"}
    assert cgroup_quota(version_2(tmp_path, files, own=own, mounted="/docker/abc")) == 1.0


@pytest.mark.parametrize("percent", [1, 50, 100])
def test_a_part_of_a_core_rounds_up(percent: int, tmp_path: Path) -> None:
    assert usable_cores(version_2(tmp_path, {"cpu.max": f"{percent}000 {PERIOD}"})) == 1


def test_no_quota_leaves_the_cores_that_the_process_is_bound_to(tmp_path: Path) -> None:
    bound = len(os.sched_getaffinity(0))
    assert usable_cores(tmp_path) == bound
    assert usable_cores(version_2(tmp_path, {"cpu.max": f"99900000 {PERIOD}"})) == bound


def test_a_process_bound_to_one_core_has_one() -> None:
    """A real process, bound as `taskset --cpu-list` binds it."""
    core = min(os.sched_getaffinity(0))
    program = (
        f"import os; os.sched_setaffinity(0, {{{core}}})\n"
        "from mqspn_backend.cores import usable_cores\n"
        "from mqspn_backend.resources import thread_count\n"
        "print(usable_cores(), thread_count('0', {}))"
    )
    folder = str(Path(mqspn_backend.__file__).parents[1])
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": folder},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split() == ["1", "1"]
