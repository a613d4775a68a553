"""What the contents of a folder were made of, kept with them, so that nothing else mixes in.

A *fingerprint* is a mapping that JSON holds: settings, digests of data and weights. Work in a
folder that has one goes on only where the fingerprint is the same; else it is refused, and the
refusal names the first difference.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mqspn.errors import BuildError
from mqspn.files.replace import replace_text

__all__ = [
    "Fingerprint",
    "FingerprintError",
    "as_json",
    "check_fingerprint",
    "fingerprint_digest",
    "first_difference",
    "read_fingerprint",
    "write_fingerprint",
]

Fingerprint = dict[str, Any]


class FingerprintError(BuildError):
    """A folder's contents were made of something else, or nobody knows of what."""


def as_json(values: Mapping[str, Any]) -> Fingerprint:
    """``values`` as JSON gives them back: tuples are lists, so that they compare with a file's."""
    fingerprint: Fingerprint = json.loads(json.dumps(values))
    return fingerprint


def fingerprint_digest(fingerprint: Any) -> str:
    """SHA-256 of a fingerprint, in hexadecimal: a name for it, equal where two fingerprints are."""
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()


def read_fingerprint(path: Path, *, option: str) -> Fingerprint | None:
    """Read what `write_fingerprint` wrote; None where there is no such file.

    ``option`` names the folder on the command line. Raises FingerprintError for a damaged file.
    """
    try:
        fingerprint = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(fingerprint, dict):
            return fingerprint
    except FileNotFoundError:
        return None
    except ValueError:
        pass
    raise FingerprintError(
        f"{path} is damaged, so that nobody knows what this folder was made of; name another "
        f"{option} folder, or delete this one"
    )


def write_fingerprint(path: Path, fingerprint: Fingerprint) -> None:
    """Replace the file of a fingerprint."""
    replace_text(path, json.dumps(fingerprint, indent=2, ensure_ascii=False) + "\n")


def check_fingerprint(
    held: Mapping[str, Any],
    own: Mapping[str, Any],
    *,
    folder: Path,
    holds: str,
    option: str,
    names: Mapping[str, str] | None = None,
) -> None:
    """Raise FingerprintError where ``held``, that of ``folder``, is not ``own``.

    The message says that the folder ``holds`` something made with other what: the first key that
    differs, under its name in ``names`` if it has one; and that ``option`` names another folder.
    """
    key, _, inner = first_difference(held, own).partition(".")
    if key:
        what = (names or {}).get(key, key) + (f" ({inner})" if inner else "")
        raise FingerprintError(
            f"{folder} holds {holds} with other {what}; name another {option} folder, or delete it"
        )


def first_difference(a: Any, b: Any, prefix: str = "") -> str:
    """The dotted key at which two nested mappings first differ; "" where they are equal."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in [*a, *(key for key in b if key not in a)]:
            if a.get(key) != b.get(key) or (key in a) != (key in b):
                inner = first_difference(a.get(key), b.get(key), f"{prefix}{key}.")
                return inner or f"{prefix}{key}"
        return ""
    return "" if a == b else prefix[:-1]
