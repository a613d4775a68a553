"""Another commit's files and packages, beside this checkout's, so that both can be served.

The files come from `git archive`: nothing of the repository's own state is touched, and nothing is
left in it. The packages are this environment's, and those that the commit needs besides.
"""

from __future__ import annotations

import importlib.metadata
import io
import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "Checkout",
    "CheckoutError",
    "UnknownCommitError",
    "baseline_environment",
    "commit_name",
    "missing_requirements",
    "other_checkout",
    "this_checkout",
]

ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ("build", "python_backend", "clients")
#: What `mqspn serve` imports, and the command around it.
_EXTRAS = ("server", "build")


class CheckoutError(Exception):
    """A commit that cannot be served here; the message says what to do."""


class UnknownCommitError(CheckoutError):
    """A commit that git does not know here."""


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """The files of one commit. ``packages``: a folder to import from before this environment."""

    name: str
    root: Path
    packages: Path | None = None

    @property
    def repository(self) -> Path:
        return self.root / "model_repository"

    def environment(self) -> dict[str, str]:
        """Make what a process needs to import this checkout's code and no other's."""
        folders = [str(self.root / source) for source in _SOURCES]
        folders += [str(self.packages)] if self.packages is not None else []
        return {"PYTHONPATH": os.pathsep.join(folders)}


def this_checkout() -> Checkout:
    """Describe the checkout that this file is in, as it lies there."""
    return Checkout(name="this checkout", root=ROOT)


def baseline_environment() -> dict[str, str]:
    """Make what a process needs to import `baselines` and this checkout's code."""
    path = this_checkout().environment()["PYTHONPATH"]
    return {"PYTHONPATH": os.pathsep.join((str(ROOT / "loadtest"), path))}


def commit_name(commit: str) -> str:
    """Give the short name of ``commit``; raises UnknownCommitError where git has none."""
    _git("rev-parse", "--git-dir")  # without a repository there is another thing to mend
    try:
        name = _git("rev-parse", "--short", "--verify", "--end-of-options", f"{commit}^{{commit}}")
    except CheckoutError:
        raise UnknownCommitError(f"there is no commit {commit!r} here") from None
    return name.decode().strip()


def other_checkout(commit: str, work: Path) -> Checkout:
    """Take ``commit``'s files to ``work``, and install there what it needs and we lack.

    Raises CheckoutError where git does not know the commit, or packages cannot be installed.
    """
    name = commit_name(commit)
    root = work / f"at-{name}"
    root.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", name))) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(root, filter="data")
        else:  # Python 3.10 and 3.11 before 2023
            archive.extractall(root)
    missing = missing_requirements((root / "pyproject.toml").read_text(encoding="utf-8"))
    packages = None
    if missing:
        packages = work / f"packages-{name}"
        _install(missing, packages, name)
    return Checkout(name=name, root=root, packages=packages)


def missing_requirements(pyproject: str, extras: tuple[str, ...] = _EXTRAS) -> list[str]:
    """List the requirements of ``pyproject`` (its text) that are not installed here at all.

    A package that is installed in another version is left as it is: both commits then run on the
    same one.
    """
    project = tomllib.loads(pyproject)["project"]
    wanted = list(project.get("dependencies", []))
    for extra in extras:
        wanted += project.get("optional-dependencies", {}).get(extra, [])
    missing = []
    for line in wanted:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if re.sub(r"[-_.]+", "-", requirement.name).lower() == "mqspn-triton":
            continue
        try:
            importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(line)
    return sorted(set(missing))


def _install(requirements: list[str], folder: Path, commit: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--target", str(folder), *requirements]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.strip().splitlines()[-2:])
        raise CheckoutError(
            f"commit {commit} needs {', '.join(requirements)}, which cannot be installed here "
            f"({said}); install them into this environment and try again"
        )


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise CheckoutError(f"git {' '.join(arguments[:1])} failed: {said}; name a commit of here")
    return done.stdout
