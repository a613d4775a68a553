"""What a run is of: its settings, its data, where its visual side and its boxes come from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from mqspn.data.posts import Box, Post
from mqspn.data.proposals import find_proposals
from mqspn.files.digest import file_sha256
from mqspn.files.fingerprint import (
    Fingerprint,
    FingerprintError,
    as_json,
    check_fingerprint,
    read_fingerprint,
    write_fingerprint,
)
from mqspn.settings import Settings

__all__ = ["begin_run", "data_digest", "run_fingerprint"]

#: The file's name, and the keys in it, are those of every run there is.
_FILE = "claim.json"


class DrawnObject(NamedTuple):
    """An annotated object under the names of the first digests, which are of its repr."""

    look: str
    box: Box
    visible: float
    named: bool


def run_fingerprint(
    settings: Settings,
    posts: Sequence[Post],
    *,
    visual_from: Path | None,
    proposals: Path | None,
) -> Fingerprint:
    """Make a run's fingerprint: its settings, data and given files (`mqspn.files.fingerprint`).

    Data are the same where ids, texts, gold and the images' sizes in bytes are; a checkpoint where
    its weights are; proposals where the names and sizes of the posts' files are. Raises
    FileNotFoundError where there is no such folder, BuildError where a post's file is missing.
    """
    return as_json(
        {
            "settings": asdict(settings),
            "data": data_digest(posts),
            "visual_from": visual_from and file_sha256(visual_from / "model.safetensors"),
            "proposals": proposals and _proposals_digest(proposals, posts),
        }
    )


def begin_run(run: Path, fingerprint: Fingerprint) -> None:
    """Make ``run`` the folder of a run, or raise FingerprintError where it is another's."""
    run.mkdir(parents=True, exist_ok=True)
    path = run / _FILE
    held = read_fingerprint(path, option="--run")
    if held == fingerprint:
        return
    if any(run.glob("*.pt")) or any(run.glob("regions_*")):
        if not held:
            raise FingerprintError(f"{run} holds an older version's run; name another --run folder")
        check_fingerprint(
            held,
            fingerprint,
            folder=run,
            holds="a run",
            option="--run",
            names={"visual_from": "visual side"},
        )
    # Nothing was done here yet: the next attempt, perhaps with a mended setting, begins anew.
    (run / "tokenizer.json").unlink(missing_ok=True)
    write_fingerprint(path, fingerprint)


def data_digest(posts: Sequence[Post]) -> str:
    """SHA-256 of the posts' ids, texts, gold, objects and their images' sizes in bytes."""
    digest = hashlib.sha256()
    for post in posts:
        image = post.image.stat().st_size if post.image is not None else None
        objects = tuple(
            DrawnObject(o.object_class, o.box, o.visible, o.named) for o in post.objects
        )
        digest.update(repr((post.id, post.text, post.entities, objects, image)).encode())
    return digest.hexdigest()


def _proposals_digest(folder: Path, posts: Sequence[Post]) -> str:
    digest = hashlib.sha256()
    for path in sorted(set(find_proposals(folder, posts).values())):
        digest.update(repr((path.name, path.stat().st_size)).encode())
    return digest.hexdigest()
