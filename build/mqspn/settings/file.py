"""Read a frozen dataclass of settings from YAML, strictly: files, what they extend, overrides."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import dacite
import yaml

__all__ = ["build", "override", "read_mapping"]

SettingsT = TypeVar("SettingsT")


def build(cls: type[SettingsT], values: dict[str, Any]) -> SettingsT:
    """A ``cls`` of nested mappings.

    Raises ValueError for an unknown or missing key or a value of the wrong type, naming the key.
    """
    if not isinstance(values, dict):
        raise ValueError("settings must be a mapping")
    values = _checked(cls, values, "")
    config = dacite.Config(cast=[tuple], type_hooks={float: _float}, strict=True)
    try:
        return dacite.from_dict(cls, values, config)
    except dacite.DaciteError as error:
        raise ValueError(f"settings: {error}") from error


def override(cls: Any, values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` of a ``cls`` with dotted keys changed; a number is the place of an element.

    An unknown key is left for `build` to refuse. Raises ValueError for a key that leads nowhere.
    """
    values = copy.deepcopy(_with_defaults(cls, values))
    for key, value in changes.items():
        _override(values, key, value)
    return values


def read_mapping(name_or_path: str | Path, _seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The mapping in a YAML file, or a packaged one by its name, on top of what it ``extends``.

    The name of a packaged file is that file, whatever lies in the current folder: a string such as
    "./base" is a file there. What a file extends is a file beside it, else a packaged one. Raises
    ValueError where a file is not a mapping, says a key twice or is not UTF-8, and
    FileNotFoundError naming the packaged files.
    """
    packaged = _packaged()
    named = packaged.get(name_or_path) if isinstance(name_or_path, str) else None
    path = (named or Path(name_or_path)).resolve()
    if not path.is_file():
        raise FileNotFoundError(
            f"no settings file {str(name_or_path)!r}; give a path or one of: {', '.join(packaged)}"
        )
    if path in _seen:
        raise ValueError(f"{path} extends itself")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{name_or_path}: cannot be read as YAML: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name_or_path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    if not isinstance(values, dict):
        raise ValueError(f"{name_or_path}: settings must be a mapping")
    base = values.pop("extends", None)
    if base is None:
        return values
    near = path.parent / str(base)
    if not near.is_file() and str(base) not in packaged:
        raise FileNotFoundError(
            f"{name_or_path}: extends {str(base)!r}, which is neither a file beside it nor one of: "
            + ", ".join(packaged)
        )
    return _merged(read_mapping(near if near.is_file() else str(base), (*_seen, path)), values)


def _packaged() -> dict[str, Path]:
    """The files that come with the package, by name."""
    configs = Path(str(resources.files("mqspn") / "configs"))
    return {path.stem: path for path in sorted(configs.glob("*.yaml"))}


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once in its mapping."""

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


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        merged[key] = _merged(under, value) if both else value  # type: ignore[arg-type]
    return merged


def _with_defaults(cls: Any, values: dict[str, Any]) -> dict[str, Any]:
    """``values`` with what they leave to ``cls`` written out, for an override to change a part."""
    hints = get_type_hints(cls)
    filled = dict(values)
    for item in fields(cls):
        given = values.get(item.name)
        if is_dataclass(hints[item.name]) and isinstance(given, dict):
            filled[item.name] = _with_defaults(hints[item.name], given)
        elif item.name not in values:
            make = item.default_factory
            default = item.default if make is MISSING else make()
            if default is not MISSING:
                plain = asdict(default) if is_dataclass(default) else default  # type: ignore[arg-type]
                filled[item.name] = json.loads(json.dumps(plain))
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
        raise ValueError(f"settings: {key!r} goes through {above!r}, which has no parts")
    if not part.isdecimal() or int(part) >= len(node):
        raise ValueError(
            f"settings: {key!r}: {above!r} has {len(node)} elements, counted from 0; "
            f"{part!r} is none of them"
        )
    return int(part)


def _float(value: Any) -> Any:
    """YAML reads 1e-4 as a string and 1 as an integer; both are meant as numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _check_list(wanted: Any, value: Any, name: str) -> None:
    """Refuse what is no list of the elements that the tuple type ``wanted`` has."""
    kinds = get_args(wanted)
    length = None if kinds[-1] is Ellipsis else len(kinds)
    if not isinstance(value, (list, tuple)) or len(value) != (length or len(value)):
        what = "a list" if length is None else f"a list of {length}"
        raise ValueError(f"settings: {name} must be {what}, not {value!r}")
    kind = kinds[0]
    for i, element in enumerate(value):
        given = _float(element) if kind is float else element
        words = {int: "a whole number", float: "a number"}.get(kind, "a mapping")
        if isinstance(given, bool) or not isinstance(given, dict if is_dataclass(kind) else kind):
            raise ValueError(f"settings: {name}.{i} must be {words}, not {element!r}")


def _checked(cls: Any, values: dict[str, Any], prefix: str) -> dict[str, Any]:
    """``values``, unknown keys refused at every depth (a `config` is free), choices checked."""
    hints = get_type_hints(cls)
    known = [f.name for f in fields(cls)]
    checked = dict(values)
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {prefix + near[0]!r}?" if near else f"; known: {known}"
            raise ValueError(f"settings: unknown key {name!r}{hint}")
        inner = hints[key]
        if inner in (int, float) and isinstance(value, bool):
            kind = "whole number" if inner is int else "number"
            raise ValueError(f"settings: {name} must be a {kind}, not {value}")
        if get_origin(inner) is tuple:
            _check_list(inner, value, name)
        if get_origin(inner) is Literal:
            choices = get_args(inner)
            # YAML reads a bare no as false.
            checked[key] = value = "no" if value is False and "no" in choices else value
            if value not in choices:
                raise ValueError(
                    f"settings: {name} must be one of {', '.join(choices)}; not {value!r}"
                )
        if is_dataclass(inner) and isinstance(value, dict):
            checked[key] = _checked(inner, value, f"{name}.")
        elements = [item for item in get_args(inner) if is_dataclass(item)]
        if elements and isinstance(value, (list, tuple)):
            checked[key] = [
                _checked(elements[0], element, f"{name}.{i}.")
                if isinstance(element, dict)
                else element
                for i, element in enumerate(value)
            ]
    return checked
