"""Why settings are refused, in one line: the dotted key, what is allowed, what was given."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from mqspn.errors import BuildError
from mqspn.settings.schema import Schema, allowed, find, kind, resolve

__all__ = ["check_nesting", "explain", "plain_json", "shown"]

#: More are left out of the line, and counted.
_MOST = 5
#: Longer values are cut.
_LONGEST = 60
#: Mappings and lists inside each other, as many as pydantic reads in JSON.
_DEEPEST = 200
#: The first whole number with more digits than Python writes.
_TOO_LARGE = 10**4300
_OUT_OF_BOUNDS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
_EMPTY = {"string_too_short", "string_pattern_mismatch"}

Path = Sequence[str | int]


def explain(error: ValidationError, schema: Schema) -> str:
    """One line with all that ``error`` holds, unknown keys first.

    ``schema``: the settings' JSON schema, which knows the bounds and the known keys.
    """
    # A list is also said to be too short for its valid elements alone.
    details = [
        detail
        for detail in error.errors(include_url=False)
        if detail["type"] != "too_short" or not detail["input"]
    ]
    details.sort(key=lambda detail: detail["type"] != "unexpected_keyword_argument")
    reasons = list(dict.fromkeys(_reason(detail, schema) for detail in details))
    more = f"; and {len(reasons) - _MOST} more" if len(reasons) > _MOST else ""
    return f"settings: {'; '.join(reasons[:_MOST])}{more}"


def plain_json(values: dict[str, Any]) -> str:
    """``values`` as JSON. Raises BuildError for what JSON does not have, as a date of YAML."""
    check_nesting(values)
    _check_plain(values, ())
    return json.dumps(values)


def check_nesting(value: Any, path: Path = (), _open: tuple[int, ...] = ()) -> None:
    """Raise BuildError for a mapping or list that contains itself, or that is nested too deep.

    YAML can write both. What passes can be walked, merged and read as JSON.
    """
    if not isinstance(value, (dict, list, tuple)):
        return
    if id(value) in _open:
        raise BuildError(f"settings: {_dotted(path)} contains itself; write out what it is to hold")
    if len(_open) == _DEEPEST:
        raise BuildError(
            f"settings: {_dotted(path[:3])} is more than {_DEEPEST} mappings and lists deep; "
            "make it flatter"
        )
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        check_nesting(inner, (*path, str(key)), (*_open, id(value)))


def _check_plain(value: Any, path: Path) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, (str, int)):
                written = shown(key)
                raise BuildError(
                    f"settings: {_dotted((*path, written))}: put the key {written} in quotes"
                )
            _check_written(key, (*path, shown(key)))
            _check_plain(inner, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for i, inner in enumerate(value):
            _check_plain(inner, (*path, i))
    elif not (value is None or isinstance(value, (str, int, float))):
        raise BuildError(
            f"settings: {_dotted(path)} must be text, a number, a list or a mapping, "
            f"not {shown(value)}; put text in quotes"
        )
    else:
        _check_written(value, path)


def _check_written(value: str | float | None, path: Path) -> None:
    """Refuse the text and the whole numbers that cannot be written."""
    if isinstance(value, str):
        try:  # YAML reads the two halves of JSON's \ud83d\ude00 as two characters
            value.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError as error:
            raise BuildError(
                f"settings: {_dotted(path)} has half a character, as {shown(value)} shows; "
                "write the whole character"
            ) from error
    elif isinstance(value, int) and abs(value) >= _TOO_LARGE:
        raise BuildError(f"settings: {_dotted(path)} is a number of too many digits")


def _reason(detail: Mapping[str, Any], schema: Schema) -> str:
    path, name = detail["loc"], detail["type"]
    key, node, given = _dotted(path), find(schema, path), shown(detail["input"])
    above = resolve(schema, find(schema, path[:-1]))
    if name == "unexpected_keyword_argument":
        return _unknown(key, path, sorted(above.get("properties", ())))
    if name == "missing" and "prefixItems" in above:
        return f"{_dotted(path[:-1])} must be {_article(above, schema)}, not {given}"
    if name == "missing":
        return f"{key} is missing; give {_article(node, schema)}"
    if name == "json_invalid":
        return f"cannot be read as JSON: {detail['ctx']['error']}"
    if name == "too_short":
        return f"{key} must have at least one element, not {given}"
    if name == "finite_number":
        return f"{key} must be a finite number, not {given}"
    if name in _EMPTY:
        return f"{key} must not be empty, as {given} is"
    if name in _OUT_OF_BOUNDS:
        return f"{key} must be {allowed(node)}; not {given}"
    if name == "value_error":
        message = str(detail["ctx"]["error"])
        # Of a free mapping, a part is named; of several settings, all are named in full.
        return f"{key}.{message}" if node.get("additionalProperties") is True else message
    if "enum" in node:
        return f"{key} must be one of {kind(schema, node)}; not {given}"
    if node:
        return f"{key} must be {_article(node, schema)}, not {given}"
    return f"{key}: {detail['msg']}" if key else detail["msg"]


def _unknown(key: str, path: Path, known: list[str]) -> str:
    if key == "extends":
        return "'extends' stands in a settings file only, at its top; write a file that says it"
    near = get_close_matches(str(path[-1]), known, n=1)
    if near:
        return f"unknown key {key!r}; did you mean {_dotted((*path[:-1], near[0]))!r}?"
    return f"unknown key {key!r}; known: {', '.join(known)}"


def _article(node: Schema, schema: Schema) -> str:
    """What ``node`` must be, as "a whole number", "a list of 3 numbers" or "true or false"."""
    words = kind(schema, node)
    return words if words.startswith(("text", "true")) else f"a {words}"


def shown(value: Any) -> str:
    """``value`` as YAML writes it, cut where it is long."""
    text = _as_yaml(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _as_yaml(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else f"{'-' if value < 0 else ''}.inf"
    if isinstance(value, datetime.date):
        return str(value)
    if isinstance(value, dict):
        pairs = (f"{_as_yaml(key)}: {_as_yaml(inner)}" for key, inner in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_as_yaml, value))}]"
    return repr(value)


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))
