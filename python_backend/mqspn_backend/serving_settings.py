"""Read and write `serving.json`: what the Python models must know of their checkpoint."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from pathlib import Path

__all__ = ["DecodingSettings", "ServingSettings"]


@dataclass(frozen=True, kw_only=True)
class DecodingSettings:
    """The thresholds that decide which predictions become entities.

    ``entity_threshold``: an entity's score (type probability times the mean of its start and end
    probabilities) must reach it. ``region_threshold``: a box's probability must reach it, else the
    entity is "not in the image". ``max_entity_words``: an entity is no longer than so many of the
    tokenizer's words (0: any length), which keeps a query that sees two mentions from joining them.
    """

    entity_threshold: float = 0.5
    region_threshold: float = 0.0
    max_entity_words: int = 0

    def __post_init__(self) -> None:
        if self.max_entity_words < 0:
            raise ValueError("max_entity_words must be 0 (any length) or more")


@dataclass(frozen=True, kw_only=True)
class ServingSettings:
    """What preprocessing and postprocessing need to know of the checkpoint.

    ``types``: entity type names, in the order of TYPE_PROBS[..., 1:]. ``image_side``: S in pixels.
    ``regions``: K. ``buckets``: increasing token lengths L, [CLS] and [SEP] included.
    ``max_image_bytes`` and ``max_image_pixels`` bound one encoded and one decoded image.
    """

    model_version: str
    types: tuple[str, ...]
    image_side: int
    regions: int
    buckets: tuple[int, ...]
    decoding: DecodingSettings = DecodingSettings()
    max_image_bytes: int = 20 * 1024 * 1024
    max_image_pixels: int = 50_000_000

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ServingSettings:
        """Read what `to_json` wrote; raises ValueError for unknown, missing or unreadable keys."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"serving settings are not JSON: {error}") from error
        if not isinstance(values, dict):
            raise ValueError("serving settings must be a JSON object")
        _check_keys(cls, values, "serving settings")
        decoding = values.get("decoding", {})
        _check_keys(DecodingSettings, decoding, "serving settings: decoding")
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        values["decoding"] = DecodingSettings(**decoding)
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"serving settings: {error}") from error

    @classmethod
    def from_file(cls, path: Path) -> ServingSettings:
        """Read the file ``path``; a ValueError names it."""
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def _check_keys(cls: type, values: dict[str, object], where: str) -> None:
    known = [f.name for f in fields(cls)]
    for key in values:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{where}: unknown key {key!r}{hint}")
