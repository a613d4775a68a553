"""Find a setting in the settings' JSON schema, and say in words what it may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["allowed", "find", "kind", "resolve"]

Schema = dict[str, Any]

_KINDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "object": "mapping",
    "null": "null",
}
_PLURALS = {"integer": "whole numbers", "number": "numbers", "object": "mappings"}


def resolve(schema: Schema, node: Schema) -> Schema:
    """The section that ``node`` refers to, or ``node`` itself."""
    reference = node.get("$ref")
    return node if reference is None else schema["$defs"][reference.rpartition("/")[2]]


def find(schema: Schema, path: Sequence[str | int]) -> Schema:
    """The node at ``path``, a number being the place of an element; {} where there is none."""
    node = schema
    for part in path:
        node = resolve(schema, node)
        if isinstance(part, str):
            node = node.get("properties", {}).get(part, {})
        elif "prefixItems" in node:
            node = node["prefixItems"][part] if part < len(node["prefixItems"]) else {}
        else:
            node = node.get("items", {})
    return node


def kind(schema: Schema, node: Schema) -> str:
    """The type of ``node``, as "whole number", "list of 3 numbers" or "no, fp16, bf16"."""
    node = resolve(schema, node)
    if "anyOf" in node:
        return " or ".join(kind(schema, choice) for choice in node["anyOf"])
    if "enum" in node:
        return ", ".join(node["enum"])
    if node["type"] != "array":
        return _KINDS[node["type"]]
    items = node.get("prefixItems", [node.get("items")])
    count = f"{len(items)} " if "prefixItems" in node else ""
    return f"list of {count}{_PLURALS[resolve(schema, items[0])['type']]}"


def allowed(node: Schema) -> str:
    """The bounds of ``node``, or of its elements, as "at least 1"; "" where it has none."""
    if node.get("minLength") or "pattern" in node:
        return "not empty"
    if node.get("type") == "array":
        items = node.get("prefixItems", [node.get("items")])
        each = [f"each {words}"] if (words := allowed(items[0])) else []
        return "; ".join((["not empty"] if "items" in node and "minItems" in node else []) + each)
    least, most = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if above is not None and below is not None:
        return f"between {above} and {below}, neither of them"
    if least is not None and most is not None:
        return f"from {least} to {most}"
    lower = f"at least {least}" if least is not None else f"above {above}"
    upper = f"at most {most}" if most is not None else f"below {below}"
    given = ((least, above), lower), ((most, below), upper)
    return " and ".join(words for bounds, words in given if any(b is not None for b in bounds))
