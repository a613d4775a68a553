"""The two packages that this repository makes: what they hold; the client stands alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import mqspn
import mqspn_client
import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
#: Where each import package lies.
SOURCES = {
    "mqspn": ROOT / "build" / "mqspn",
    "mqspn_backend": ROOT / "python_backend" / "mqspn_backend",
    "mqspn_client": ROOT / "clients" / "mqspn_client",
}


def build(source: Path, output: Path, *options: str) -> None:
    """Make what ``options`` ask for of ``source``, with this environment's setuptools."""
    ran = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", output, source],
        cwd=output.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]


def one(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def contents(wheel: Path) -> dict[str, bytes]:
    """The wheel's files by name."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(wheel: Path) -> Message:
    (text,) = (v for k, v in contents(wheel).items() if k.endswith(".dist-info/METADATA"))
    return Parser().parsestr(text.decode())


def requirements(wheel: Path, extra: str | None = None) -> set[str]:
    """What the package needs by itself, or what ``extra`` adds to that."""
    parsed = [Requirement(text) for text in metadata(wheel).get_all("Requires-Dist", [])]
    if extra is None:
        return {str(r) for r in parsed if r.marker is None}
    marker = f'extra == "{extra}"'
    return {str(r).partition(";")[0].strip() for r in parsed if str(r.marker) == marker}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of what git holds of the sources: a build writes beside them."""
    folder = tmp_path_factory.mktemp("packages") / "tree"
    folder.mkdir()
    written = shutil.ignore_patterns("__pycache__", "*.egg-info", "lib", "bdist.*", ".setuptools")
    for name in ("build", "python_backend", "clients"):
        shutil.copytree(ROOT / name, folder / name, ignore=written)
    shutil.rmtree(folder / "clients" / "build", ignore_errors=True)
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, folder)
    yield folder
    shutil.rmtree(folder.parent)


@pytest.fixture(scope="module")
def whole(tree: Path) -> Path:
    """The wheel of mqspn-triton."""
    build(tree, tree.parent / "whole", "--wheel")
    return one(tree.parent / "whole", "mqspn_triton-*.whl")


@pytest.fixture(scope="module")
def client(tree: Path) -> Path:
    """The wheel of mqspn-client."""
    build(tree / "clients", tree.parent / "client", "--wheel")
    return one(tree.parent / "client", "mqspn_client-*.whl")


def test_both_have_one_version(whole: Path, client: Path) -> None:
    versions = {metadata(wheel)["Version"] for wheel in (whole, client)}
    assert versions == {mqspn_client.__version__} == {mqspn.__version__}


def test_the_client_needs_what_the_whole_needs_without_extras(whole: Path, client: Path) -> None:
    assert requirements(client) == requirements(whole)
    assert len(requirements(client)) == 6
    assert metadata(client)["Requires-Python"] == metadata(whole)["Requires-Python"]


@pytest.mark.parametrize("package", SOURCES)
def test_the_whole_holds_every_file_of_a_package(package: str, whole: Path) -> None:
    source = SOURCES[package]
    files = {
        path.relative_to(source.parent).as_posix()
        for path in source.rglob("*")
        if path.suffix in (".py", ".yaml") or path.name == "py.typed"
    }
    assert f"{package}/py.typed" in files
    assert {name for name in contents(whole) if name.startswith(f"{package}/")} == files


def test_the_client_holds_the_same_sources_and_nothing_else(whole: Path, client: Path) -> None:
    def sources(wheel: Path) -> dict[str, bytes]:
        files = contents(wheel).items()
        return {name: data for name, data in files if ".dist-info/" not in name}

    expected = {k: v for k, v in sources(whole).items() if k.startswith("mqspn_client/")}
    assert sources(client) == expected


def test_both_carry_the_licence(whole: Path, client: Path) -> None:
    for wheel in (whole, client):
        (licence,) = (v for k, v in contents(wheel).items() if k.endswith("/licenses/LICENSE"))
        assert licence == (ROOT / "LICENSE").read_bytes()
        assert metadata(wheel)["License-Expression"] == "Apache-2.0"


def test_each_has_its_command(whole: Path, client: Path) -> None:
    scripts = {
        wheel: next(v for k, v in contents(wheel).items() if k.endswith("/entry_points.txt"))
        for wheel in (whole, client)
    }
    assert scripts[whole].decode().split() == ["[console_scripts]", "mqspn", "=", "mqspn.cli:main"]
    assert scripts[client].decode().split()[1] == "mqspn-client"


def test_the_hooks_check_with_the_versions_of_the_development_install(whole: Path) -> None:
    declared = requirements(whole) | requirements(whole, "dev") | requirements(whole, "server")
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for hook in hooks:
        assert {str(Requirement(text)) for text in hook["additional_dependencies"]} <= declared


def test_a_source_archive_makes_the_same_wheel_without_the_weights(
    tree: Path, whole: Path, tmp_path: Path
) -> None:
    build(tree, tmp_path / "dist")  # the archive, then the wheel out of it
    with tarfile.open(one(tmp_path / "dist", "*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "CHANGELOG.md", "CITATION.cff", "build/mqspn/cli.py"} <= names
    assert (tree / "build" / "checkpoints" / "demo" / "model.safetensors").is_file()
    assert not [name for name in names if "checkpoints" in name]
    assert contents(one(tmp_path / "dist", "*.whl")) == contents(whole)


def test_a_build_leaves_nothing_that_git_would_add(tree: Path, whole: Path, client: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tree, check=True)
    status = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"],
        cwd=tree,
        check=True,
        capture_output=True,
        text=True,
    )
    assert sorted(path.name for path in tree.glob("*.egg-info")) == ["mqspn_triton.egg-info"]
    added = [f for f in status.stdout.split() if not (ROOT / f).is_file()]
    assert added == []


@pytest.mark.parametrize("folder", [".", "clients"])
def test_a_removed_module_is_not_in_the_next_build(folder: str, tree: Path, tmp_path: Path) -> None:
    gone = tree / "clients" / "mqspn_client" / "gone.py"
    gone.write_text("")
    try:
        build(tree / folder, tmp_path / "before", "--wheel")
    finally:
        gone.unlink()
    build(tree / folder, tmp_path / "after", "--wheel")
    before, after = (set(contents(one(tmp_path / n, "*.whl"))) for n in ("before", "after"))
    assert before - after == {"mqspn_client/gone.py"}
    assert after < before


def test_both_start_from_an_empty_folder() -> None:
    assert (ROOT / "setup.py").read_bytes() == (ROOT / "clients" / "setup.py").read_bytes()


@pytest.mark.slow
def test_the_client_works_in_an_empty_environment(client: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", symlinks=True)  # without pip: this environment's installs
    python = tmp_path / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    tested = f"--constraint={ROOT / 'constraints.txt'}"
    subprocess.run(
        [*pip, "install", "--quiet", "--no-compile", tested, str(client)], check=True, timeout=600
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_COLOR": "1"}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(python.parent / command[0]), *command[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    there = "import importlib.util as u; print([bool(u.find_spec(n)) for n in {!r}])"
    found = run("python", "-c", there.format(["mqspn_client", "mqspn", "mqspn_backend", "torch"]))
    assert found.stdout == "[True, False, False, False]\n"
    assert run("mqspn-client", "--version").stdout == f"mqspn-client {mqspn_client.__version__}\n"
    assert run("mqspn-client", "predict", "--help").returncode == 0
    bare = run("mqspn-client")
    assert all(name in bare.stdout + bare.stderr for name in ("Usage", "predict", "batch"))
    failed = run("mqspn-client", "predict", "--url", "127.0.0.1:1", "--text", "Jordan")
    assert failed.returncode == 1
    assert failed.stderr.startswith("mqspn-client: ")
    assert failed.stderr.count("\n") == 1
