"""Whose run a folder holds: its settings, its data, where its visual side and boxes come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mqspn.data.posts import Post
from mqspn.settings import Settings

__all__ = ["claim_run", "first_difference"]


def claim_run(
    run: Path,
    settings: Settings,
    posts: Sequence[Post],
    *,
    visual_from: Path | None,
    proposals: Path | None,
) -> None:
    """Make ``run`` the folder of these settings and inputs, or refuse it where it is another's.

    Data are the same where ids, texts, gold and the images' sizes in bytes are; a checkpoint where
    its weights are; proposals where their files' names and sizes are. Raises ValueError.
    """
    run.mkdir(parents=True, exist_ok=True)
    claim = {
        "settings": asdict(settings),
        "data": _data_digest(posts),
        "visual_from": visual_from and _file_digest(visual_from / "model.safetensors"),
        "proposals": proposals and _folder_digest(proposals),
    }
    claim = json.loads(json.dumps(claim))
    path = run / "claim.json"
    held = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
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
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(claim, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def first_difference(a: Any, b: Any, prefix: str = "") -> str:
    """The dotted key at which two nested mappings first differ; "" where they are equal."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            if a.get(key) != b.get(key) or (key in a) != (key in b):
                inner = first_difference(a.get(key), b.get(key), f"{prefix}{key}.")
                return inner or f"{prefix}{key}"
        return ""
    return "" if a == b else prefix[:-1]


def _data_digest(posts: Sequence[Post]) -> str:
    digest = hashlib.sha256()
    for post in posts:
        image = post.image.stat().st_size if post.image is not None else None
        digest.update(repr((post.id, post.text, post.entities, post.objects, image)).encode())
    return digest.hexdigest()


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _folder_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(repr((path.name, path.stat().st_size)).encode())
    return digest.hexdigest()
