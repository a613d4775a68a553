"""How a model repository's engines are compiled, and which settings go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mqspn.data.posts import Post
from mqspn.engines.builder import Flavour
from mqspn.engines.errors import CompileSettingsError
from mqspn.engines.kept_layers import KEPT, KeptLayers
from mqspn.engines.precision import Precision
from mqspn.engines.quantisation import choose_posts
from mqspn.repository.manifest import PLAN

__all__ = ["CompileSettings"]


@dataclass(frozen=True, kw_only=True)
class CompileSettings:
    """How a repository's engines are compiled.

    ``output``: a folder for `<model>.plan`; None puts each at its model's `1/model.plan`, where
    Triton looks. ``timing_cache``: a file that makes a second compile faster. ``force``: build a
    plan again though a matching one is there. ``check_entities``: annotated posts on which the
    lower precision may not cost F1; none: the tensors alone are compared. ``calibrate``: the posts
    that INT8 takes its scales from; synthetic ones would be wrong for any checkpoint but the
    demo's. ``kept``: the layers that stay in FP32 in a lower precision.

    Raises CompileSettingsError for a timing cache, posts or layers that go with nothing, and for
    INT8 without posts.
    """

    repository: Path
    flavour: Flavour
    precision: Precision
    output: Path | None = None
    timing_cache: Path | None = None
    force: bool = False
    check_entities: Sequence[Post] = ()
    calibrate: Sequence[Post] = ()
    kept: Sequence[KeptLayers] = KEPT

    def __post_init__(self) -> None:
        if self.precision == "int8" and not self.calibrate:
            raise CompileSettingsError(
                "--precision int8 needs --calibrate DATA: posts like those that will be served, "
                "without which there is no telling what values the graphs take"
            )
        if self.calibrate and self.precision != "int8":
            raise CompileSettingsError(
                f"{self.precision} is not calibrated: drop --calibrate, or take --precision int8"
            )
        if self.calibrate:
            choose_posts(self.calibrate)
        if self.timing_cache is not None and self.flavour == "tensorrt-rtx":
            raise CompileSettingsError(
                "TensorRT-RTX times nothing while it compiles: name no timing cache"
            )
        if self.check_entities and self.precision == "fp32":
            raise CompileSettingsError(
                "FP32 is what the others are compared with: no entities to check"
            )
        if self.precision == "fp32" and self.kept != KEPT:
            raise CompileSettingsError(
                "all layers are in FP32 already: drop --keep, or name a --precision"
            )

    def plan(self, model: str) -> Path:
        """Where the plan of ``model`` goes."""
        if self.output is not None:
            return self.output / f"{model}.plan"
        return self.repository / model / "1" / PLAN
