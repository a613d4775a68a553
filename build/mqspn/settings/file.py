"""Files of settings: YAML, what it extends, and dotted keys changed on top."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from mqspn.configs import packaged_settings
from mqspn.errors import BuildError
from mqspn.settings.refusal import check_nesting, shown
from mqspn.settings.schema import Schema, resolve

__all__ = ["override", "parse_overrides", "read_mapping"]


def read_mapping(name_or_path: str | Path, _seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The mapping in a YAML file, or a packaged one by its name, on top of what it ``extends``.

    The name of a packaged file is that file, whatever lies in the current folder: a string such as
    "./base" is a file there. What a file extends is a file beside it, else a packaged one. Raises
    BuildError where a file is absent (naming the packaged ones), is not a mapping, says a key twice
    or is not UTF-8.
    """
    packaged = packaged_settings()
    named = packaged.get(name_or_path) if isinstance(name_or_path, str) else None
    path = named or Path(name_or_path)
    if not _is_file(path):
        raise BuildError(
            f"no settings file {shown(str(name_or_path))}; give a path or one of: "
            + ", ".join(packaged)
        )
    path = path.resolve()
    if path in _seen:
        raise BuildError(f"{path} extends itself")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except RecursionError as error:
        raise BuildError(f"{name_or_path}: {_TOO_DEEP}") from error
    except yaml.YAMLError as error:
        raise BuildError(f"{name_or_path}: cannot be read as YAML: {_where(error)}") from error
    except UnicodeDecodeError as error:
        raise BuildError(
            f"{name_or_path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    if not isinstance(values, dict):
        raise BuildError(f"{name_or_path}: settings must be a mapping")
    check_nesting(values)
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise BuildError(
            f"{name_or_path}: extends must be text, the name or path of one settings file, "
            f"not {shown(base)}"
        )
    near = path.parent / base
    beside = _is_file(near)
    if not beside and base not in packaged:
        raise BuildError(
            f"{name_or_path}: extends {shown(base)}, which is neither a file beside it nor one of: "
            + ", ".join(packaged)
        )
    return _merged(read_mapping(near if beside else base, (*_seen, path)), values)


def parse_overrides(pairs: Iterable[str]) -> dict[str, Any]:
    """Dotted keys and their values of texts such as ``network.layers=2``, the value being YAML.

    Raises BuildError for a text without a key or "=", whose value is not YAML, or whose key stands
    twice.
    """
    overrides: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise BuildError(f"--set needs key=value, not {pair!r}")
        if key in overrides:
            raise BuildError(f"--set {key} stands twice; keep one")
        try:
            overrides[key] = yaml.load(value, _Loader)
        except RecursionError as error:
            raise BuildError(f"--set {key}: {_TOO_DEEP}") from error
        except yaml.YAMLError as error:
            raise BuildError(f"--set {key}: {shown(value)} is not YAML: {_where(error)}") from error
    return overrides


def override(schema: Schema, values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with dotted keys changed; a number is the place of an element.

    ``schema`` says what ``values`` leave out. An unknown key is left to be refused with the whole.
    Raises BuildError for a key that leads nowhere.
    """
    values = copy.deepcopy(_with_defaults(schema, schema, values))
    for key, value in changes.items():
        _override(values, key, value)
    return values


_TOO_DEEP = "mappings and lists are too deep inside each other; make it flatter"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once in its mapping, and that says which value it cannot read."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            if not isinstance(node, yaml.ScalarNode):
                raise
            # PyYAML lets pass what Python says of a date 2026-02-30 or a number of 5,000 digits.
            what = node.tag.rpartition(":")[2]
            message = f"{shown(node.value)} cannot be read as {what}; put text in quotes"
            raise yaml.MarkedYAMLError(problem=message, problem_mark=node.start_mark) from error

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    message = f"the key {key.value!r} stands twice; keep one"
                    raise yaml.MarkedYAMLError(problem=message, problem_mark=key.start_mark)
                seen.add(key.value)
        return node


def _where(error: yaml.YAMLError) -> str:
    """What is wrong and where, in one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
    return " ".join(str(error).split())


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        merged[key] = _merged(under, value) if both else value  # type: ignore[arg-type]
    return merged


def _with_defaults(schema: Schema, node: Schema, values: dict[str, Any]) -> dict[str, Any]:
    """``values`` with what they leave to the defaults written out, for a change of a part."""
    filled = dict(values)
    for name, part in resolve(schema, node).get("properties", {}).items():
        if isinstance(given := values.get(name), dict):
            filled[name] = _with_defaults(schema, part, given)
        elif name not in values and "default" in part:
            filled[name] = copy.deepcopy(part["default"])  # three encoders share one
    return filled


def _override(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, leaf = key.split(".")
    node: Any = values
    for depth, part in enumerate(parents):
        place = _place(node, part, key, ".".join(parents[:depth]))
        if isinstance(node, dict) and node.get(place) is None:
            node[place] = {}
        node = node[place]
    node[_place(node, leaf, key, ".".join(parents))] = value


def _place(node: Any, part: str, key: str, above: str) -> Any:
    """Where ``part`` of ``key`` is in ``node``, which is at ``above``."""
    if isinstance(node, dict):
        return part
    if not isinstance(node, list):
        raise BuildError(f"settings: {key!r} goes through {above!r}, which has no parts")
    if not part.isdecimal() or len(part) > 9 or int(part) >= len(node):
        raise BuildError(
            f"settings: {shown(key)}: {above!r} has {len(node)} elements, counted from 0; "
            f"{shown(part)} is none of them"
        )
    return int(part)
