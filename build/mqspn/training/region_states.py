"""Proposed regions and their visual states, computed once and kept: the visual side is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mqspn_backend.errors import PostError
from mqspn_backend.image import read_image
from numpy.typing import NDArray
from tqdm import tqdm

from mqspn.data.posts import Post
from mqspn.network import Mqspn
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

    def save(self, path: Path) -> None:
        """Write to ``path``, complete or not at all."""
        partial = path.with_suffix(".partial.npz")
        np.savez(
            partial,
            boxes=self.boxes,
            scores=self.scores,
            visual_states=self.visual_states,
            sizes=self.sizes,
        )
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> RegionStates:
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})


def read_pixels(
    posts: Sequence[Post], settings: Settings
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """PIXELS (B, 3, S, S) uint8 and IMAGE_SIZE (B, 2) int32 of posts, as serving reads them.

    Raises ValueError naming the file of an image that serving would refuse.
    """
    limits = settings.serving

    def read(post: Post) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        data = post.image.read_bytes() if post.image is not None else b""
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
) -> RegionStates:
    """Run the region proposer and the visual encoder over the posts' images."""
    model.eval()
    K, D = settings.network.regions, model.region_encoder.visual_width
    boxes = np.zeros((len(posts), K, 4), np.float32)
    scores = np.zeros((len(posts), K), np.float32)
    states = np.zeros((len(posts), K, D), np.float32)
    sizes = np.zeros((len(posts), 2), np.int32)
    with_image = [i for i, post in enumerate(posts) if post.image is not None]
    chunks = range(0, len(with_image), batch_size)
    for first in tqdm(chunks, desc="region states", unit="batch", disable=not progress):
        rows = with_image[first : first + batch_size]
        pixels, size = read_pixels([posts[i] for i in rows], settings)
        device_pixels = torch.from_numpy(pixels).to(model.device)
        proposed, score = model.region_proposer(
            device_pixels, torch.from_numpy(size).to(model.device)
        )
        state = model.region_encoder.visual_states(device_pixels, proposed)
        boxes[rows], scores[rows] = proposed.cpu().numpy(), score.cpu().numpy()
        states[rows], sizes[rows] = state.cpu().numpy(), size
    return RegionStates(boxes, scores, states, sizes)
