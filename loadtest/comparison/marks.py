"""The marks that a run is held against: the least ratio of each, and which of them are judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comparison.figures import Spread, rates, ratio
from comparison.rows import Run

__all__ = ["CHAIN", "FASTAPI", "LITSERVE", "SERVER", "Mark", "MarkSettings", "has_amx", "judge"]

#: The systems' names in rows.
SERVER, AGAINST, FASTAPI, LITSERVE, CHAIN = "server", "against", "fastapi", "litserve", "chain"


@dataclass(frozen=True, kw_only=True)
class MarkSettings:
    """The least ratios. ``judge_baselines``: hold FastAPI's and LitServe's too."""

    images: float = 1.5
    text: float = 4.0
    fastapi: float = 2.0
    litserve: float = 1.5
    chain: float = 0.9
    judge_baselines: bool = False


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One mark: ``ratio`` should be ``least`` or more. ``judged``: it decides the exit code."""

    name: str
    ratio: Spread | None
    least: float
    judged: bool

    @property
    def kept(self) -> bool | None:
        """Whether it was reached; None where nothing was measured."""
        return None if self.ratio is None else self.ratio.median >= self.least

    @property
    def broken(self) -> bool:
        """Whether it makes the run a failure; what is judged and was not measured does."""
        return self.judged and not self.kept

    def verdict(self) -> str:
        """Say in a word or two how it ended."""
        if self.kept is None:
            return "not measured"
        word = "reached" if self.kept else "not reached"
        return word if self.judged else f"{word}, not judged"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ratio": None if self.ratio is None else self.ratio.to_json(),
            "least": self.least,
            "judged": self.judged,
            "kept": self.kept,
        }


def has_amx(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Tell whether the processor has AMX: matrix products in BF16."""
    return cpuinfo.is_file() and "amx_bf16" in cpuinfo.read_text(encoding="utf-8")


def judge(run: Run, settings: MarkSettings) -> list[Mark]:
    """Hold ``run`` against every mark that its systems allow."""
    systems = run.header["systems"]
    best = run.notes.get("best_callers", {})
    marks = []

    def at(kind: str, system: str, level: int | None) -> dict[int, float]:
        return rates(run.rows, kind=kind, system=system, level=level)

    if AGAINST in systems:
        name = run.header["against"]
        for kind, least in (("images", settings.images), ("text", settings.text)):
            for callers in run.header["callers"]:
                found = ratio(at(kind, SERVER, callers), at(kind, AGAINST, callers))
                title = f"{_KIND[kind]}, {_callers(callers)}: against {name}"
                marks.append(Mark(name=title, ratio=found, least=least, judged=True))
    for system, least in ((FASTAPI, settings.fastapi), (LITSERVE, settings.litserve)):
        if system in systems:
            ours, theirs = (best.get(f"images {name}") for name in (SERVER, system))
            found = ratio(at("images", SERVER, ours), at("images", system, theirs))
            title = f"{_KIND['images']}, best callers ({ours} and {theirs}): against {system}"
            judged = settings.judge_baselines
            marks.append(Mark(name=title, ratio=found, least=least, judged=judged))
    if CHAIN in systems:
        callers = max(run.header["callers"])
        batch = run.notes.get("formed_batch", {}).get(str(callers))
        found = ratio(at("images", SERVER, callers), at("images", CHAIN, batch))
        title = f"{_KIND['images']}, {_callers(callers)}: against the bare chain, batch {batch}"
        marks.append(Mark(name=title, ratio=found, least=settings.chain, judged=True))
    return marks


_KIND = {"images": "posts with images", "text": "text-only posts"}


def _callers(count: int) -> str:
    return f"{count} caller{'s' * (count > 1)}"
