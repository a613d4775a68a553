"""Propose regions with a class-agnostic detector, any DETR-family `transformers` model."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForObjectDetection

from mqspn.errors import BuildError
from mqspn.network.pixels import normalise_pixels
from mqspn.network.pretrained import build_transformer
from mqspn.settings import EncoderSettings

__all__ = ["RegionProposer"]

# Detectors whose classes compete with a last "no object" class in a softmax; the others score each
# class by a sigmoid.
_SOFTMAX_DETECTORS = frozenset({"detr", "table-transformer", "yolos"})


class RegionProposer(nn.Module):
    """Find the K best-scored boxes of an image; a box's score is its best class score."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, settings: EncoderSettings, *, regions: int, saved: Path | None = None
    ) -> None:
        super().__init__()
        self.detector = build_transformer(
            AutoModelForObjectDetection, settings, saved, part="region_proposer", num_labels=1
        )
        config = self.detector.config
        queries = getattr(config, "num_queries", None) or config.num_detection_tokens
        if queries < regions:
            raise BuildError(
                f"settings: the detector has {queries} queries, fewer than network.regions "
                f"({regions})"
            )
        self.regions = regions
        self.softmax = config.model_type in _SOFTMAX_DETECTORS
        self.register_buffer("mean", torch.tensor(settings.pixel_mean).view(3, 1, 1), False)
        self.register_buffer("std", torch.tensor(settings.pixel_std).view(3, 1, 1), False)

    @torch.no_grad()
    def check_image_side(self, side: int) -> None:
        """Run on one empty image; BuildError where the detector takes none of ``side`` pixels."""
        training = self.training
        try:
            self.eval()(
                torch.zeros(1, 3, side, side, dtype=torch.uint8, device=self.mean.device),
                torch.zeros(1, 2, dtype=torch.int32, device=self.mean.device),
            )
        except torch.OutOfMemoryError:
            raise  # the side is not too small then
        except RuntimeError as error:
            raise BuildError(
                f"settings: image_side: the region proposer takes no images of {side} pixels; "
                f"name a larger side, as a multiple of 32 ({' '.join(str(error).split())})"
            ) from error
        finally:
            self.train(training)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Turn uint8 pixels (B, 3, S, S) into the detector's float input."""
        return normalise_pixels(pixels, self.mean, self.std)

    def forward(self, pixels: Tensor, image_size: Tensor) -> tuple[Tensor, Tensor]:
        """Propose K regions an image.

        ``pixels`` (B, 3, S, S) uint8; ``image_size`` (B, 2) int32, 0 where there is no image.
        Returns REGION_BOXES (B, K, 4) float32, normalised x1, y1, x2, y2 in [0, 1], and
        REGION_SCORES (B, K) float32, highest first, 0 for a post without image.
        """
        output = self.detector(pixel_values=self.normalise(pixels))
        if self.softmax:
            class_scores = torch.softmax(output.logits, dim=-1)[..., :-1]
        else:
            class_scores = torch.sigmoid(output.logits)
        scores, chosen = torch.topk(class_scores.max(dim=-1).values, self.regions, dim=1)
        index = chosen.unsqueeze(-1).expand(-1, -1, 4)
        chosen_boxes = torch.gather(output.pred_boxes, 1, index)
        # Slices: `tensor_split` would be exported as a sequence, which TensorRT does not read.
        centre, size = chosen_boxes[..., :2], chosen_boxes[..., 2:]
        boxes = torch.cat([centre - size / 2, centre + size / 2], dim=-1).clamp(0.0, 1.0)
        area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
        real = (image_size[:, :1] > 0) & (area > 0)  # (B, K)
        return boxes, scores * real.to(scores.dtype)
