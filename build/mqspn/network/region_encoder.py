"""Encode image regions: CLIP on crops that the graph itself cuts, plus the boxes' geometry."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPVisionModel

from mqspn.errors import BuildError
from mqspn.network.crops import crop_regions
from mqspn.network.first_token import pooled_states
from mqspn.network.pixels import normalise_pixels
from mqspn.network.pretrained import build_transformer
from mqspn.settings import EncoderSettings

__all__ = ["RegionEncoder"]


class RegionEncoder(nn.Module):
    """Encode each region: what it looks like (`visual_states`) and where it is (`place`)."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        settings: EncoderSettings,
        *,
        width: int,
        crop_side: int,
        crop_supersampling: int,
        saved: Path | None = None,
    ) -> None:
        super().__init__()
        self.vision = build_transformer(CLIPVisionModel, settings, saved, part="region_encoder")
        if self.vision.config.image_size != crop_side:
            _resize_positions(self.vision, crop_side)
        self.crop_side = crop_side
        self.crop_supersampling = crop_supersampling
        hidden = self.vision.config.hidden_size
        self.visual_width: int = hidden
        self.projection = nn.Linear(hidden, width)
        self.geometry = nn.Sequential(nn.Linear(6, width), nn.GELU(), nn.Linear(width, width))
        self.norm = nn.LayerNorm(width)
        self.register_buffer("mean", torch.tensor(settings.pixel_mean).view(3, 1, 1), False)
        self.register_buffer("std", torch.tensor(settings.pixel_std).view(3, 1, 1), False)

    def visual_states(self, pixels: Tensor, boxes: Tensor) -> Tensor:
        """Compute CLIP's pooled state of each region. With CLIP frozen they can be cached.

        ``pixels`` (B, 3, S, S) uint8, ``boxes`` (B, K, 4) normalised x1, y1, x2, y2. Returns
        (B, K, D_visual).
        """
        B, K, _ = boxes.shape
        crops = crop_regions(pixels, boxes, self.crop_side, self.crop_supersampling)
        # Weights of a crop's pixel sum to 1, so that normalising can wait until there are fewer.
        crops = normalise_pixels(crops, self.mean, self.std)
        pooled = pooled_states(self.vision, crops)  # (B * K, D_visual)
        return pooled.view(B, K, self.visual_width)

    def place(self, visual_states: Tensor, boxes: Tensor) -> Tensor:
        """Project visual states to width D and add the embedding of each box's geometry.

        ``visual_states`` (B, K, D_visual), ``boxes`` (B, K, 4) normalised x1, y1, x2, y2. Returns
        REGION_STATES (B, K, D).
        """
        corners, size = boxes, boxes[..., 2:] - boxes[..., :2]
        geometry = self.geometry(torch.cat([corners, size], dim=-1))
        return self.norm(self.projection(visual_states) + geometry)  # type: ignore[no-any-return]

    def forward(self, pixels: Tensor, boxes: Tensor) -> Tensor:
        """Encode REGION_BOXES (B, K, 4) of PIXELS (B, 3, S, S) uint8 as REGION_STATES (B, K, D)."""
        return self.place(self.visual_states(pixels, boxes), boxes)


def _resize_positions(vision: CLIPVisionModel, side: int) -> None:
    """Resample pretrained position embeddings to the crop's patch grid, once, at load."""
    embeddings = (
        vision.vision_model.embeddings if hasattr(vision, "vision_model") else (vision.embeddings)
    )
    patch = vision.config.patch_size
    if side % patch:
        raise BuildError(
            f"settings: network.crop_side ({side}) must be a multiple of the region encoder's "
            f"patch size ({patch})"
        )
    old = embeddings.position_embedding.weight.detach()  # (1 + n * n, D)
    n, m = vision.config.image_size // patch, side // patch
    grid = old[1:].reshape(1, n, n, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(m, m), mode="bicubic", align_corners=False)
    new = torch.cat([old[:1], grid.permute(0, 2, 3, 1).reshape(m * m, -1)])
    embeddings.position_embedding = nn.Embedding(m * m + 1, old.shape[1], _weight=new)
    embeddings.num_patches, embeddings.num_positions = m * m, m * m + 1
    embeddings.image_size = side
    embeddings.register_buffer("position_ids", torch.arange(m * m + 1)[None], persistent=False)
    vision.config.image_size = side
