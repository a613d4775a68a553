"""Every Python snippet of docs/client.md is run, against a real gRPC server."""

import re
from pathlib import Path

import mqspn_client
import pytest

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "client.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
PORT = "127.0.0.1:8001"


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_runs(snippet, server, png, tmp_path, monkeypatch):
    """The documented address is the test server's, here."""
    (tmp_path / "post.jpg").write_bytes(png)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(mqspn_client.client._ClientBase.__init__.__kwdefaults__, "timeout_s", 10.0)
    monkeypatch.setattr(mqspn_client.client._ClientBase.__init__, "__defaults__", (server.url,))
    exec(compile(snippet.replace(PORT, server.url), "docs/client.md", "exec"), {})


def test_the_snippets_are_found():
    assert len(SNIPPETS) == PAGE.count("```python\n") >= 8


def test_the_table_names_every_error_and_its_code():
    rows = dict(re.findall(r"^\| `(\w+Error)` \| (.*?) \|", PAGE, re.MULTILINE))
    classes = [getattr(mqspn_client, name) for name in mqspn_client.__all__ if "Error" in name]
    leaves = {c for c in classes if not any(issubclass(o, c) and o is not c for o in classes)}
    assert set(rows) == {c.__name__ for c in leaves}
    for error in leaves - {mqspn_client.PostError}:
        assert rows[error.__name__] == f"`{error.code}`"
    assert set(re.findall(r"`(\w+)`", rows["PostError"])) == set(mqspn_client.POST_CODES)


def test_the_table_says_what_is_retried():
    from mqspn_client.retry import RETRIED

    retried = re.findall(r"^\| `(\w+Error)` .* \| yes \|$", PAGE, re.MULTILINE)
    assert retried == [error.__name__ for error in RETRIED]
