"""Proposed regions and their visual states, computed once and kept: the visual side is frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mqspn_backend.boxes import clip, pixels_to_normalised
from mqspn_backend.errors import PostError
from mqspn_backend.image import read_image
from numpy.typing import NDArray
from tqdm import tqdm

from mqspn.data.posts import Post
from mqspn.data.proposals import find_proposals, read_proposals
from mqspn.network import Mqspn
from mqspn.regions.cache import RegionCache, weights_digest
from mqspn.settings import Settings

__all__ = ["RegionStates", "compute_region_states", "read_pixels"]


@dataclass(frozen=True)
class RegionStates:
    """Regions of N posts, in the posts' order.

    ``boxes`` (N, K, 4) float32, normalised x1, y1, x2, y2; ``scores`` (N, K) float32, 0 for
    padding; ``visual_states`` (N, K, D_visual) float32; ``sizes`` (N, 2) int32, width and height
    in pixels of the upright image, 0 where there is none.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    visual_states: NDArray[np.float32]
    sizes: NDArray[np.int32]

    def proposals(self, row: int) -> NDArray[np.float32]:
        """The real regions of post ``row``, (n, 4) in pixels of the upright image, best first."""
        real = self.boxes[row][self.scores[row] > 0]
        pixels: NDArray[np.float32] = (real * np.tile(self.sizes[row], 2)).astype(np.float32)
        return pixels


def read_pixels(
    posts: Sequence[Post], settings: Settings
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """PIXELS (B, 3, S, S) uint8 and IMAGE_SIZE (B, 2) int32 of posts, as serving reads them.

    Raises ValueError naming the file of an image that serving would refuse.
    """
    limits = settings.serving

    def read(post: Post) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        data = post.image.read_bytes() if post.image is not None else b""
        if post.image is not None and not data:
            raise ValueError(f"{post.image} is empty")
        try:
            return read_image(
                data,
                settings.image_side,
                max_bytes=limits.max_image_bytes,
                max_pixels=limits.max_image_pixels,
            )
        except PostError as error:
            raise ValueError(f"{post.image}: {error}") from error

    with ThreadPoolExecutor(2) as pool:
        images = list(pool.map(read, posts))
    return np.stack([p for p, _ in images]), np.array([s for _, s in images], np.int32)


@torch.inference_mode()
def compute_region_states(
    model: Mqspn,
    settings: Settings,
    posts: Sequence[Post],
    *,
    batch_size: int = 32,
    progress: bool = True,
    proposals: Path | None = None,
    cache: Path | None = None,
) -> RegionStates:
    """Run the region proposer and the visual encoder over the posts' images.

    ``proposals``: a folder of boxes, see `mqspn.data.proposals`; each image's first K stand in for
    the region proposer's. ``cache``: a folder that keeps the states: a later call with the same
    model, posts and proposals goes on where a kill stopped this one, or takes what is there, and
    the arrays are mapped from disk. Raises ValueError where an image or its proposals cannot be
    read, or are missing.
    """
    model.eval()
    N = len(posts)
    files = find_proposals(proposals, posts) if proposals is not None else None
    states = _no_regions(model, settings, N)
    kept = None
    if cache is not None:
        arrays = {name: (array.shape, array.dtype) for name, array in vars(states).items()}
        kept = RegionCache(cache, arrays, fingerprint=_fingerprint(model, settings, posts, files))
    done = kept.done if kept else 0
    bar = tqdm(total=N, initial=done, desc="region states", unit="post", disable=not progress)
    with bar:
        for first in range(done, N, batch_size):
            rows = slice(first, first + batch_size)
            part = vars(_states_of(model, settings, posts[rows], files))
            if kept:
                kept.append(part)
            else:
                for name, array in vars(states).items():
                    array[rows] = part[name]
            bar.update(len(posts[rows]))
    return RegionStates(**kept.load()) if kept else states


def _no_regions(model: Mqspn, settings: Settings, posts: int) -> RegionStates:
    N, K, D = posts, settings.network.regions, model.region_encoder.visual_width
    return RegionStates(
        np.zeros((N, K, 4), np.float32),
        np.zeros((N, K), np.float32),
        np.zeros((N, K, D), np.float32),
        np.zeros((N, 2), np.int32),
    )


def _states_of(
    model: Mqspn, settings: Settings, posts: Sequence[Post], files: Mapping[str, Path] | None
) -> RegionStates:
    states = _no_regions(model, settings, len(posts))
    rows = [row for row, post in enumerate(posts) if post.image is not None]
    if not rows:
        return states
    pixels, sizes = read_pixels([posts[row] for row in rows], settings)
    states.sizes[rows] = sizes
    images = torch.from_numpy(pixels).to(model.device)
    if files is None:
        boxes, scores = model.region_proposer(images, torch.from_numpy(sizes).to(model.device))
        states.boxes[rows], states.scores[rows] = boxes.cpu().numpy(), scores.cpu().numpy()
    else:
        for row, (width, height) in zip(rows, sizes.tolist(), strict=True):
            post = posts[row]
            found = read_proposals(files[post.id], (width, height), image=post.image)
            pixel_boxes = found.boxes[: settings.network.regions].astype(np.float64)
            states.boxes[row, : len(pixel_boxes)] = clip(
                pixels_to_normalised(pixel_boxes, (width, height))
            )
            states.scores[row, : len(pixel_boxes)] = found.scores[: len(pixel_boxes)]
        boxes = torch.from_numpy(states.boxes[rows]).to(model.device)
    states.visual_states[rows] = model.region_encoder.visual_states(images, boxes).cpu().numpy()
    return states


def _fingerprint(
    model: Mqspn, settings: Settings, posts: Sequence[Post], files: Mapping[str, Path] | None
) -> str:
    """A digest of all that region states depend on."""
    modules = [model.region_encoder.vision] + ([model.region_proposer] if files is None else [])
    digest = hashlib.sha256(weights_digest(*modules).encode())
    visual, network = settings.region_encoder, settings.network
    sizes = (settings.image_side, network.regions, network.crop_side, network.crop_supersampling)
    digest.update(repr((sizes, visual.pixel_mean, visual.pixel_std)).encode())
    for post in posts:
        read = [post.image, *([files[post.id]] if files and post.id in files else [])]
        stamps = [(path.stat().st_size, path.stat().st_mtime_ns) for path in read if path]
        digest.update(repr((post.id, stamps)).encode())
    return digest.hexdigest()
