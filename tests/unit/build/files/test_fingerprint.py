"""A folder's contents go on under the fingerprint they were made with, and under no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mqspn.errors import BuildError
from mqspn.files.fingerprint import (
    as_json,
    check_fingerprint,
    fingerprint_digest,
    first_difference,
    read_fingerprint,
    write_fingerprint,
)

OWN = {"settings": {"a": 1, "b": {"c": 2.5}}, "data": "0f", "visual": None}


def check(held: dict[str, Any]) -> None:
    check_fingerprint(
        held,
        OWN,
        folder=Path("x.run"),
        holds="a run",
        option="--run",
        names={"visual": "visual side"},
    )


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "made_of.json"
    assert read_fingerprint(path, option="--run") is None
    write_fingerprint(path, OWN)
    held = read_fingerprint(path, option="--run")
    assert held == OWN
    check(held)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"settings": {"a": 1, "b": {"c": 3}}}, r"settings \(b\.c\)"),
        ({"data": "1e"}, "data"),
        ({"visual": "ab"}, "visual side"),
    ],
)
def test_a_refusal_names_the_first_difference_and_the_option(
    other: dict[str, Any], what: str
) -> None:
    with pytest.raises(
        BuildError, match=rf"x\.run holds a run with other {what}; name another --run"
    ):
        check({**OWN, **other})


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"])
def test_a_damaged_one_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "made_of.json").write_bytes(content)
    with pytest.raises(BuildError, match=r"made_of\.json is damaged.* another --work folder"):
        read_fingerprint(tmp_path / "made_of.json", option="--work")


def test_a_digest_is_of_keys_and_values_in_any_order() -> None:
    assert fingerprint_digest(OWN) == fingerprint_digest(dict(reversed(OWN.items())))
    assert fingerprint_digest(OWN) != fingerprint_digest({**OWN, "data": "1e"})
    # This very one is in reports of runs there are.
    assert fingerprint_digest({"b": [1, None], "a": "é"}) == (
        "8920de3941419361f145cefba9aa462ed7008553c0e51521d11ae067eca18a8d"
    )


def test_tuples_compare_as_json_holds_them() -> None:
    assert as_json({"buckets": (16, 32)}) == {"buckets": [16, 32]}


def test_the_first_difference_is_named() -> None:
    assert first_difference({"a": {"b": 1}}, {"a": {"b": 1}}) == ""
    assert first_difference({"a": {"b": 1}}, {"a": {"b": 2}}) == "a.b"
    assert first_difference({"a": {"b": 1}}, {"a": {}}) == "a.b"
    assert first_difference({"a": 1}, {"a": 1, "c": None}) == "c"
    assert first_difference({"a": {"b": 1}}, {"a": 3}) == "a"
