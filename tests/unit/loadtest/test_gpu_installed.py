"""What a machine lacks: all of it in one message, before anything that is not there is imported."""

import subprocess
import sys
import sysconfig
from importlib import metadata

import pytest
from bench import installed
from bench.installed import NEEDED, choose_profile, missing_packages, missing_parts

from .conftest import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it


@pytest.mark.parametrize(
    ("profile", "extras"),
    [
        ("cpu", ("server", "build", "loadtest")),
        ("cuda", ("cuda", "build", "loadtest")),
        ("gpu", ("build", "tensorrt", "compile", "precision", "loadtest")),
    ],
)
def test_requirements_are_those_of_the_extras_that_it_names(profile, extras):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    theirs = set(project["dependencies"])
    for extra in extras:
        theirs.update(project["optional-dependencies"][extra])
    ours = {**NEEDED, **installed._ENGINES[profile], **installed._SERVER}
    if profile == "gpu":  # the container's server and its Python backend take numpy 1 too
        theirs |= {"numpy>=1.26,<2", "nvidia-pytriton==0.7.0"}
    assert set(ours.values()) <= theirs


def test_a_bare_python_is_told_everything_at_once():
    """Without site-packages: the file must not import what it looks for."""
    script = str(ROOT / "loadtest" / "gpu.py")
    command = [sys.executable, "-S", "-E", script, "--profile=cpu"]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    for requirement in (*NEEDED.values(), "onnxruntime>=1.20,<2", "nvidia-pytriton==0.7.0"):
        assert f"\n  {requirement}\n" in done.stderr
    assert "export PYTHONPATH=build:python_backend:clients" in done.stderr
    assert "pip install -c constraints.txt -e '.[server,build,loadtest]'\n" in done.stderr
    assert done.stderr.count("gpu.py: ") == 1


def test_here_nothing_is_missing():
    assert missing_parts("cpu") is None


def test_another_version_is_missing_and_said(monkeypatch):
    monkeypatch.setattr(
        installed, "version", lambda name: "2.5.2" if name == "numpy" else here(name)
    )
    assert missing_packages("cpu") == ["numpy>=1.26,<2"]
    assert "  numpy>=1.26,<2 (2.5.2 is here)\n" in told("cpu")


def test_a_package_for_another_numpy_is_missing(monkeypatch):
    """SciPy from 1.17 on wants NumPy 2, which the server's Python backend does not take."""
    wants = {"scipy": ["numpy<2.8,>=2.0.0", "pooch; extra == 'test'"]}
    monkeypatch.setattr(installed, "requires", lambda name: wants.get(name))
    assert missing_packages("cpu") == ["scipy>=1.13,<2"]
    said = f"  scipy>=1.13,<2 ({here('scipy')} is here, which needs numpy<2.8,>=2.0.0)\n"
    assert said in told("cpu")


def test_onnxruntimes_gpu_build_serves_on_the_cpu_too(monkeypatch):
    def version(name):
        if name == "onnxruntime":
            raise metadata.PackageNotFoundError
        return "1.31.1" if name == "onnxruntime-gpu" else here(name)

    monkeypatch.setattr(installed, "version", version)
    monkeypatch.setattr(installed, "requires", lambda name: None)
    assert missing_packages("cpu") == []
    # Its provider is not in the build that is installed in fact: the loader's own words.
    assert "libonnxruntime_providers_cuda.so: cannot open" in told("cuda")


def test_a_missing_python_library_comes_with_its_package(monkeypatch):
    monkeypatch.setattr(sys, "base_prefix", "/nowhere")
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: None)
    monkeypatch.setattr(installed, "_loads", lambda library: False)
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
    assert f"  {name}.so.1.0: apt-get install {name}\n" in told("cpu")


@pytest.mark.parametrize(
    ("arguments", "profile"),
    [
        (["--profile", "gpu"], "gpu"),
        (["--size=demo", "--profile=cuda"], "cuda"),
        (["--size", "demo"], "cpu"),
        (["--profile", "auto"], "cpu"),
    ],
)
def test_the_profile_is_the_command_lines(arguments, profile, monkeypatch):
    monkeypatch.setattr(installed, "_loads", lambda library: False)
    assert choose_profile(arguments) == profile


def told(profile):
    return missing_parts(profile) or ""


def here(name):
    return metadata.version(name)
