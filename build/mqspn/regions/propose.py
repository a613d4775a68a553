"""The region proposer over a data set, once: its boxes are kept for training and evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from mqspn.checkpoint import load_checkpoint
from mqspn.data.errors import DataError
from mqspn.data.posts import Post
from mqspn.data.proposals import Proposals, read_proposals, write_proposals
from mqspn.errors import BuildError
from mqspn.files.digest import file_sha256
from mqspn.files.fingerprint import (
    FingerprintError,
    check_fingerprint,
    read_fingerprint,
    write_fingerprint,
)
from mqspn.files.lock import lock_folder
from mqspn.network import RegionProposer
from mqspn.regions.cache import weights_digest
from mqspn.regions.recall import ProposalRecall, proposal_recall
from mqspn.regions.states import read_pixels
from mqspn.settings import Settings, load_settings

__all__ = ["ProposeReport", "load_proposer", "propose"]

_FINGERPRINT = "proposer.json"
#: How a refusal names what differs.
_NAMES = {"weights": "weights of the detector", "regions": "--regions"}


@dataclass(frozen=True, kw_only=True)
class ProposeReport:
    """Images of a run, boxes an image, and the recall of gold boxes by annotated split.

    As in an evaluation, the boxes of posts whose image is missing count, as not covered.
    """

    images: int
    mean_boxes: float
    recall: Mapping[str, ProposalRecall]

    def __str__(self) -> str:
        line = f"{self.images} images, {self.mean_boxes:.1f} boxes each"
        if self.recall:
            k = next(iter(self.recall.values())).k
            shares = ", ".join(f"{name} {r.box_recall:.3f}" for name, r in self.recall.items())
            line += f"; recall@{k} of gold boxes at IoU > 0.5: {shares}"
        return line


def load_proposer(
    *, checkpoint: Path | None = None, settings: str | Path | None = None, regions: int | None
) -> tuple[RegionProposer, Settings]:
    """The region proposer of a checkpoint, or the pretrained one that settings name.

    ``regions``: boxes an image; None: the settings' network.regions. Raises BuildError where both
    or neither are given, where the settings name no pretrained detector, or where the detector has
    fewer queries than ``regions``.
    """
    if (checkpoint is None) == (settings is None):
        raise BuildError("give either a checkpoint or settings with a pretrained detector")
    if checkpoint is not None:
        loaded = load_checkpoint(checkpoint)
        found = loaded.settings
        proposer = RegionProposer(
            found.region_proposer,
            regions=regions or found.network.regions,
            saved=checkpoint / "region_proposer",
        )
        proposer.load_state_dict(loaded.model.region_proposer.state_dict())
    else:
        assert settings is not None
        found = load_settings(settings)
        if found.region_proposer.pretrained is None:
            raise BuildError(
                f"settings {str(settings)!r} name no pretrained detector "
                "(region_proposer.pretrained); name one, or give a checkpoint"
            )
        proposer = RegionProposer(found.region_proposer, regions=regions or found.network.regions)
        proposer.check_image_side(found.image_side)
    return proposer.eval(), found


def propose(
    proposer: RegionProposer,
    settings: Settings,
    splits: Mapping[str, Sequence[Post]],
    *,
    output: Path,
    batch_size: int = 32,
    progress: bool = True,
) -> ProposeReport:
    """Write the proposed regions of every image of ``splits``, see `mqspn.data.proposals`.

    Files that ``output`` already has are kept, so that the same call goes on after a kill; those
    that cannot be read, or whose image file is another by now, are made again. Raises
    BuildError where no post has an image, where an image cannot be read, where ``output`` holds
    files of another detector, size or number of regions, and where another process writes there.
    """
    images = {p.id: p for posts in splits.values() for p in posts if p.image is not None}
    if not images:
        raise BuildError("no post has an image in images/, so there is nothing to propose on")
    with lock_folder(output, option="--output"):
        _begin(output, proposer, settings)
        _propose_missing(proposer, settings, images, output, batch_size, progress)
    found = {id: read_proposals(_file(output, post)) for id, post in images.items()}
    recall = {}
    for name, posts in splits.items():
        gold = [[entity.boxes for entity in post.entities] for post in posts]
        if any(boxes for entities in gold for boxes in entities):
            proposed = [
                found[post.id].boxes if post.image is not None else np.empty((0, 4))
                for post in posts
            ]
            recall[name] = proposal_recall(gold, proposed, k=proposer.regions)
    mean = sum(len(proposals.boxes) for proposals in found.values()) / len(found)
    return ProposeReport(images=len(found), mean_boxes=mean, recall=recall)


def _propose_missing(
    proposer: RegionProposer,
    settings: Settings,
    images: Mapping[str, Post],
    output: Path,
    batch_size: int,
    progress: bool,
) -> None:
    left = [post for post in images.values() if not _is_made(_file(output, post), post)]
    bar = tqdm(
        total=len(images),
        initial=len(images) - len(left),
        desc="region proposals",
        unit="image",
        disable=not progress,
    )
    with bar:
        for first in range(0, len(left), batch_size):
            chunk = left[first : first + batch_size]
            _propose(proposer, settings, chunk, output)
            bar.update(len(chunk))


@torch.inference_mode()
def _propose(
    proposer: RegionProposer, settings: Settings, posts: Sequence[Post], output: Path
) -> None:
    device = proposer.mean.device
    pixels, sizes = read_pixels(posts, settings)
    boxes, scores = (
        tensor.cpu().numpy()
        for tensor in proposer(
            torch.from_numpy(pixels).to(device), torch.from_numpy(sizes).to(device)
        )
    )
    for row, post in enumerate(posts):
        assert post.image is not None
        width, height = (int(side) for side in sizes[row])
        real = scores[row] > 0
        in_pixels = boxes[row][real] * [width, height, width, height]
        write_proposals(
            _file(output, post),
            Proposals(in_pixels.astype("float32"), scores[row][real], file_sha256(post.image)),
            (width, height),
        )


def _file(output: Path, post: Post) -> Path:
    return output / f"{post.id}.npz"


def _is_made(path: Path, post: Post) -> bool:
    """Whether ``path`` holds readable proposals, made of the image that ``post`` has now."""
    if not path.is_file() or post.image is None:
        return False
    try:
        return read_proposals(path).image_sha256 == file_sha256(post.image)
    except DataError:
        return False


def _begin(output: Path, proposer: RegionProposer, settings: Settings) -> None:
    """Make ``output`` the folder of this detector; FingerprintError where it is another's."""
    path = output / _FINGERPRINT
    own = {
        "weights": weights_digest(proposer),
        "image_side": settings.image_side,
        "regions": proposer.regions,
    }
    held = read_fingerprint(path, option="--output")
    if held is not None:
        check_fingerprint(
            held, own, folder=output, holds="proposals", option="--output", names=_NAMES
        )
    elif any(output.glob("*.npz")):
        raise FingerprintError(
            f"{output} holds proposals and no {_FINGERPRINT} that says of which detector; name "
            "another --output folder, or delete it"
        )
    else:
        write_fingerprint(path, own)
