"""Count the processor cores that this process may use.

The count is the smallest of what the process is bound to (`sched_getaffinity`) and the processor
quotas of its control groups, version 1 or 2, its own group's and those above it. Containers and
batch systems set one or the other; `os.cpu_count` knows neither quota nor affinity.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["cgroup_quota", "usable_cores"]


def usable_cores(root: Path = Path("/")) -> int:
    """Count the cores that this process may use, at least 1.

    ``root``: the folder that holds `proc/self` and the mounted control groups. A quota of a part of
    a core rounds up.
    """
    cores = len(os.sched_getaffinity(0))
    quota = cgroup_quota(root)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """Read the smallest processor quota of this process's control groups; None: there is none."""
    quotas = [
        quota
        for folder, version in _groups(root)
        if (quota := _quota_v2(folder) if version == 2 else _quota_v1(folder)) is not None
    ]
    return min(quotas, default=None)


def _groups(root: Path) -> Iterator[tuple[Path, int]]:
    """The folders of this process's groups and of those above them, each with its version."""
    own = _own_groups(root)
    for line in _read(root / "proc/self/mountinfo").splitlines():
        # "31 23 0:28 <folder in the hierarchy> <mount point> <options> ... - <type> <name> <more>"
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            version = 2
        elif kind[0] == "cgroup" and "cpu" in kind[2].split(","):
            version = 1
        else:
            continue
        if version in own:
            top = root / fields[4].lstrip("/")
            path = _below(own[version], fields[3])
            for folder in (path, *path.parents):
                yield top / folder, version


def _own_groups(root: Path) -> dict[int, str]:
    """The path of this process's group in the hierarchy of each version that has processors."""
    own = {}
    for line in _read(root / "proc/self/cgroup").splitlines():
        # "4:cpu,cpuacct:/batch/job", version 2: "0::/batch/job"
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            own[2] = path
        elif "cpu" in controllers.split(","):
            own[1] = path
    return own


def _below(path: str, mounted: str) -> PurePosixPath:
    """The group's ``path`` as seen from the mount point, where folder ``mounted`` is mounted.

    A container may see its group under the name it has outside; its own is then the mount point.
    """
    group, top = PurePosixPath(path), PurePosixPath(mounted)
    if ".." in group.parts or not group.is_relative_to(top):
        return PurePosixPath(".")
    return group.relative_to(top)


def _quota_v1(folder: Path) -> float | None:
    quota = _read(folder / "cpu.cfs_quota_us").strip()
    return _share(quota, _read(folder / "cpu.cfs_period_us").strip())


def _quota_v2(folder: Path) -> float | None:
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    return _share(quota, period)


def _share(quota: str, period: str) -> float | None:
    """How many cores ``quota`` is; None for "max", -1 and what cannot be read."""
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
