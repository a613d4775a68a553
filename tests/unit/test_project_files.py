"""The files that a code host and its readers look for: they are whole, and they agree."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from mqspn_client import __version__

ROOT = Path(__file__).resolve().parents[2]
#: Of https://www.apache.org/licenses/LICENSE-2.0.txt.
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def read_yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def released() -> list[tuple[str, str]]:
    """The changelog's headings: version and date, the newest first."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return re.findall(r"^## (\S+)(?: - (\d{4}-\d\d-\d\d))?$", text, re.MULTILINE)


@pytest.mark.parametrize("name", ["LICENSE", "clients/LICENSE"])
def test_the_licence_is_the_unchanged_text(name: str) -> None:
    assert hashlib.sha256((ROOT / name).read_bytes()).hexdigest() == APACHE_2


def test_the_changelog_starts_with_what_is_not_out_yet_and_then_this_version() -> None:
    headings = released()
    assert headings[0] == ("Unreleased", "")
    assert headings[1][0] == __version__
    assert all(date for _, date in headings[1:])


def test_the_changelog_sorts_changes_by_kind() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert {"Added", "Changed", "Fixed"} <= kinds
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = read_yaml("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == "mqspn-triton"
    assert citation["message"]
    assert citation["authors"] == [{"name": "mqspn-triton contributors"}]
    assert (str(citation["version"]), citation["date-released"].isoformat()) == released()[1]
    assert citation["license"] == "Apache-2.0"
    (paper,) = citation["references"]
    assert paper["doi"] == "10.1609/aaai.v39i24.34711"
    assert {"type", "title", "authors", "journal", "year", "start", "end"} <= set(paper)
    assert [author["family-names"] for author in paper["authors"]] == [
        *("Tang", "Wang", "Gong", "Yu", "Zhu", "Yin"),
    ]


def test_the_hosts_ci_does_what_ours_does_with_the_packages_of_the_readme() -> None:
    job = read_yaml(".github/workflows/ci.yml")["jobs"]["test"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[-1] == ".ci/run"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.search(r"`apt-get install ([^`]+)`", readme)
    assert named is not None
    assert commands[0].endswith(f"--yes {named[1]}")
    pythons = [entry["python"] for entry in job["strategy"]["matrix"]["include"]]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert pythons == re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)


@pytest.mark.parametrize("name", ["bug.yml", "feature.yml"])
def test_an_issue_form_is_one_that_a_code_host_reads(name: str) -> None:
    form = read_yaml(f".github/ISSUE_TEMPLATE/{name}")
    assert {"name", "description", "body"} <= set(form)
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert all(field["attributes"]["label"] for field in fields)
    names = [field["id"] for field in fields]
    assert len(set(names)) == len(names)
    assert any(field.get("validations", {}).get("required") for field in fields)
