"""Whose run a folder holds: its settings, its data, where its visual side and boxes come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mqspn.data.posts import Post
from mqspn.data.proposals import find_proposals
from mqspn.files.replace import replace_text
from mqspn.settings import Settings

__all__ = ["claim_run", "data_digest", "digest_of", "file_digest", "first_difference", "make_claim"]


def make_claim(
    settings: Settings,
    posts: Sequence[Post],
    *,
    visual_from: Path | None,
    proposals: Path | None,
) -> dict[str, Any]:
    """What a run is of, as JSON holds it.

    Data are the same where ids, texts, gold and the images' sizes in bytes are; a checkpoint where
    its weights are; proposals where the names and sizes of the posts' files are. Raises
    FileNotFoundError where there is no such folder, ValueError where a post's file is missing.
    """
    claim = {
        "settings": asdict(settings),
        "data": data_digest(posts),
        "visual_from": visual_from and file_digest(visual_from / "model.safetensors"),
        "proposals": proposals and _proposals_digest(proposals, posts),
    }
    values: dict[str, Any] = json.loads(json.dumps(claim))
    return values


def digest_of(claim: dict[str, Any]) -> str:
    """A name for the claim, equal where two are."""
    return hashlib.sha256(json.dumps(claim, sort_keys=True).encode()).hexdigest()


def claim_run(run: Path, claim: dict[str, Any]) -> None:
    """Make ``run`` the folder of ``claim``, or raise ValueError where it is another's."""
    run.mkdir(parents=True, exist_ok=True)
    path = run / "claim.json"
    try:
        held = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged, so that nobody knows whose run this is; name another --run "
            "folder, or delete this one"
        ) from error
    if held == claim:
        return
    if any(run.glob("*.pt")) or any(run.glob("regions_*")):
        if not held:
            raise ValueError(f"{run} holds an older version's run; name another --run folder")
        what = next(what for what, value in claim.items() if held.get(what) != value)
        key = first_difference(held.get(what), claim[what])
        raise ValueError(
            f"{run} holds a run with other {what.replace('_from', ' side')}"
            f"{f' ({key})' if key else ''}; name another --run folder, or delete it"
        )
    # Nothing was done here yet: the next attempt, perhaps with a mended setting, begins anew.
    (run / "tokenizer.json").unlink(missing_ok=True)
    replace_text(path, json.dumps(claim, indent=2, ensure_ascii=False) + "\n")


def first_difference(a: Any, b: Any, prefix: str = "") -> str:
    """The dotted key at which two nested mappings first differ; "" where they are equal."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            if a.get(key) != b.get(key) or (key in a) != (key in b):
                inner = first_difference(a.get(key), b.get(key), f"{prefix}{key}.")
                return inner or f"{prefix}{key}"
        return ""
    return "" if a == b else prefix[:-1]


def data_digest(posts: Sequence[Post]) -> str:
    """SHA-256 of the posts' ids, texts, gold, objects and their images' sizes in bytes."""
    digest = hashlib.sha256()
    for post in posts:
        image = post.image.stat().st_size if post.image is not None else None
        digest.update(repr((post.id, post.text, post.entities, post.objects, image)).encode())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _proposals_digest(folder: Path, posts: Sequence[Post]) -> str:
    digest = hashlib.sha256()
    for path in sorted(set(find_proposals(folder, posts).values())):
        digest.update(repr((path.name, path.stat().st_size)).encode())
    return digest.hexdigest()
