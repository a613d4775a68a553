"""Choose a checkpoint's decoding settings on annotated posts; the network runs only once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mqspn_backend.serving_settings import DecodingSettings
from numpy.typing import NDArray

from mqspn.data.posts import Post
from mqspn.errors import BuildError
from mqspn.evaluation.decoding_search import held_out_gains, search
from mqspn.evaluation.metrics import Counts, PredictedEntity, Scores, match_entities, score
from mqspn.evaluation.network_output import NetworkOutput, decode_output
from mqspn.files.replace import check_replaceable, replace_text

__all__ = ["Metric", "Tuning", "check_posts", "check_writable", "tune", "write_decoding"]

Metric = Literal["gmner", "mner"]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Settings before and after, their scores on all posts, and the gain on unseen posts.

    ``held_out``: F1 gains on the halves of the posts that a choice did not see, see
    `mqspn.evaluation.decoding_search.held_out_gains`.
    """

    metric: Metric
    present: DecodingSettings
    chosen: DecodingSettings
    before: Scores
    after: Scores
    held_out: tuple[float, ...]

    @property
    def gain(self) -> float:
        """F1 gained on the posts that the settings were chosen on: an optimistic figure."""
        after, before = getattr(self.after, self.metric), getattr(self.before, self.metric)
        return float(after.f1 - before.f1)

    @property
    def held_out_gain(self) -> float:
        """Mean gain on posts that a choice did not see."""
        return float(np.mean(self.held_out))

    @property
    def holds(self) -> bool:
        """Whether the chosen settings differ and choosing gains on unseen posts too, beyond chance.

        Beyond chance: the mean of the held-out gains exceeds twice its standard error. The halves
        overlap, so this is a rule of thumb and not a test.
        """
        error = float(np.std(self.held_out, ddof=1)) / len(self.held_out) ** 0.5
        return self.chosen != self.present and self.held_out_gain > 2 * error

    def verdict(self) -> str:
        """One line on how far the gain can be trusted."""
        if self.chosen == self.present:
            return "no candidate does better than the present settings"
        better = sum(gain > 0 for gain in self.held_out)
        finding = (
            f"{self.gain:+.4f} {self.metric.upper()} F1 on these posts; chosen on one half, the "
            f"other half gains in {better} of {len(self.held_out)} cases, "
            f"{self.held_out_gain:+.4f} on average"
        )
        return finding if self.holds else finding + ": noise, the present settings stay"

    def to_json(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "before": {"decoding": asdict(self.present), **self.before.to_json()},
            "after": {"decoding": asdict(self.chosen), **self.after.to_json()},
            "gain": self.gain,
            "held_out": {
                "choices": len(self.held_out),
                "gained": sum(gain > 0 for gain in self.held_out),
                "lost": sum(gain < 0 for gain in self.held_out),
                "mean_gain": self.held_out_gain,
                "gains": list(self.held_out),
            },
            "holds": self.holds,
            "verdict": self.verdict(),
        }


def tune(
    outputs: Sequence[NetworkOutput],
    present: DecodingSettings,
    *,
    types: Sequence[str],
    metric: Metric,
) -> Tuning:
    """Choose decoding settings for the best ``metric`` F1 on the posts of ``outputs``.

    ``present``: the settings to start from, and to stay with where nothing does better. ``types``:
    the names of the T types. Raises BuildError for fewer than two posts, or posts without entities.
    """
    trials = _Trials(outputs, types, metric)
    posts = len(trials.gold)
    check_posts([post for output in outputs for post in output.posts])
    chosen = search(partial(trials.f1, rows=np.arange(posts)), present)
    return Tuning(
        metric=metric,
        present=present,
        chosen=chosen,
        before=score(trials.gold, trials.answers(present)),
        after=score(trials.gold, trials.answers(chosen)),
        held_out=tuple(held_out_gains(trials.f1, present, posts)),
    )


def check_posts(posts: Sequence[Post]) -> None:
    """Raise BuildError where there is nothing to choose on: under two posts, or no entity."""
    if len(posts) < 2 or not any(post.entities for post in posts):
        entities = sum(len(post.entities) for post in posts)
        raise BuildError(
            f"tuning needs at least two posts and an entity in them, and has {len(posts)} posts "
            f"with {entities} entities; give more annotated posts"
        )


def check_writable(folder: Path) -> None:
    """Raise OSError where `write_decoding` could not write to ``folder``."""
    check_replaceable(_settings_file(folder))


def write_decoding(folder: Path, decoding: DecodingSettings) -> None:
    """Put ``decoding`` into the settings of the checkpoint in ``folder``; all else stays."""
    path = _settings_file(folder)
    values = json.loads(path.read_text(encoding="utf-8"))
    values["decoding"] = asdict(decoding)
    replace_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def _settings_file(folder: Path) -> Path:
    """The settings of a checkpoint, be they linked from elsewhere."""
    return (folder / "settings.json").resolve()


class _Trials:
    """Answers under any settings, each setting decoded and counted once, post by post."""

    def __init__(
        self, outputs: Sequence[NetworkOutput], types: Sequence[str], metric: Metric
    ) -> None:
        self._outputs = outputs
        self._types = types
        self._region_matters = metric == "gmner"
        self.gold = [post.entities for output in outputs for post in output.posts]
        self._counts: dict[DecodingSettings, NDArray[np.int64]] = {}

    def answers(self, settings: DecodingSettings) -> list[list[PredictedEntity]]:
        return [
            entities
            for output in self._outputs
            for entities in decode_output(output, settings, self._types)
        ]

    def f1(self, settings: DecodingSettings, rows: NDArray[np.intp]) -> float:
        """F1 on the posts ``rows``."""
        if settings not in self._counts:
            self._counts[settings] = self._count(settings)
        gold, predicted, correct = self._counts[settings][rows].sum(axis=0).tolist()
        return Counts(gold=gold, predicted=predicted, correct=correct).f1

    def _count(self, settings: DecodingSettings) -> NDArray[np.int64]:
        """(N, 3): gold entities, answers, right answers of each post."""
        counts = []
        for gold, answers in zip(self.gold, self.answers(settings), strict=True):
            pairs = match_entities(
                gold, answers, type_matters=True, region_matters=self._region_matters
            )
            counts.append((len(gold), len(answers), len(pairs)))
        return np.array(counts, np.int64)
