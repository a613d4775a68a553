"""The settings of one run of `gpu.py`: what it measures, and for how long."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mqspn.engines.precision import Precision
from mqspn.repository import CudaProfile
from mqspn.repository.cuda_profile import CudaProvider
from mqspn.repository.serving_profiles import ServingProfile

from bench.answer_check import AnswerBounds

__all__ = ["BASELINES", "RunSettings", "Size"]

Size = Literal["demo", "base"]
BASELINES = ("eager", "compile", "tensorrt-rtx")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The settings of a run, checked.

    ``size``: "base", the paper's sizes with random weights, or "demo", the committed checkpoint;
    ``checkpoint``: a folder that stands in for either. ``profile``: the serving profile.
    ``precision``: of the plans of profile gpu, of TensorRT in profile cuda, and of PyTorch.
    ``provider``: of profile cuda. ``posts``: synthetic ones to send and compare, 8 at least.
    ``callers``: of each level of load. ``seconds``: of a level; a contender has a fifth of it in
    each of ``rounds`` rounds. ``differing_share``: of the posts, that may be answered differently;
    None: what `bounds` says. ``time_limit_s``: the run ends then, with the figures so far.
    ``work``: a folder that keeps checkpoint and repository for the next run; None: a temporary one.

    Raises ValueError for values that do not go together.
    """

    size: Size
    profile: ServingProfile
    precision: Precision
    provider: CudaProvider = "cuda"
    checkpoint: Path | None = None
    posts: int = 64
    callers: tuple[int, ...] = (1, 8, 32)
    seconds: float = 5.0
    rounds: int = 5
    baselines: tuple[str, ...] = BASELINES
    differing_share: float | None = None
    time_limit_s: float = 540.0
    work: Path | None = None

    def __post_init__(self) -> None:
        _ = self.cuda
        if self.posts < 8:
            raise ValueError(f"posts must be 8 or more, not {self.posts}")
        unknown = sorted(set(self.baselines) - set(BASELINES))
        if unknown:
            raise ValueError(f"there is no baseline {unknown[0]!r}, but {', '.join(BASELINES)}")

    @property
    def cuda(self) -> CudaProfile:
        """What runs the graphs under serving profile cuda."""
        fp16 = self.provider == "tensorrt" and self.precision == "fp16"
        return CudaProfile(provider=self.provider, fp16=fp16)

    @property
    def served_precision(self) -> Precision:
        """The precision that the server's engines compute in."""
        if self.profile == "gpu":
            return self.precision
        return "fp16" if self.profile == "cuda" and self.cuda.fp16 else "fp32"

    @property
    def bounds(self) -> AnswerBounds:
        """How far answers may be from the reference.

        In FP32 another answer needs two probabilities that agree to five digits. In lower precision
        three do, and random weights have many such, above all among regions: there boxes are not
        compared and half of the posts may differ. The engines' tensors, compared besides, say more.
        """
        fp32 = self.served_precision == "fp32"
        near_ties = self.size == "base" and self.checkpoint is None and not fp32
        share = self.differing_share
        if share is None:
            share = 0.5 if near_ties else 0.02 if self.profile == "cpu" else 0.05
        return AnswerBounds(
            differing_share=share,
            box_iou=None if near_ties else 0.9,
            score=0.01 if fp32 else 0.05,
        )

    def to_dict(self) -> dict[str, Any]:
        """Make the entry of the report, without any path of this machine."""
        values = asdict(self)
        return {
            **values,
            "checkpoint": self.checkpoint and self.checkpoint.name,
            "work": self.work and self.work.name,
            "served_precision": self.served_precision,
        }
