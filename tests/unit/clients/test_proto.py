"""The committed .proto agrees with the protocol as tritonclient has it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import service_pb2

PROTO = (Path(__file__).resolve().parents[3] / "clients/proto/kserve_v2.proto").read_text()
MESSAGES = re.findall(r"message (\w+) \{", PROTO)


def fields_of(message: str) -> dict[str, int]:
    """Name and number of the fields directly in ``message``."""
    body = PROTO[PROTO.index(f"message {message} {{") :].split("{", 1)[1]
    depth, own = 1, ""
    for character in body:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            break
        if depth == 1:
            own += character
    found = re.findall(r"(?:repeated )?[\w.]+ (\w+) = (\d+);", own)
    return {name: int(number) for name, number in found}


def descriptors() -> dict[str, Any]:
    top = dict(service_pb2.DESCRIPTOR.message_types_by_name)
    nested = {n.name: n for m in top.values() for n in m.nested_types}
    return {**nested, **top}


@pytest.mark.parametrize("message", MESSAGES)
def test_field_numbers(message: str) -> None:
    known = {f.name: f.number for f in descriptors()[message].fields}
    fields = fields_of(message)
    assert fields.items() <= known.items()
    assert fields or message == "ServerReadyRequest"
