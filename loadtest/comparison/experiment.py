"""Run the comparison: choose settings and numbers of callers, then time all systems in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from comparison.answers import AnswerCheck
from comparison.chain import Chain
from comparison.marks import AGAINST, CHAIN, FASTAPI, LITSERVE, SERVER
from comparison.plan import Plan
from comparison.post_sets import KINDS
from comparison.rows import RowFile
from comparison.systems import System
from comparison.tuning import Level, best_level, level_of, settings_grid

__all__ = ["Experiment"]

#: The option of each baseline that is chosen beside its threads.
OPTIONS = {FASTAPI: "calls", LITSERVE: "batch"}
#: A system, its kind of posts and its level: one measurement of a round.
Turn = tuple[str, str, int]


class Experiment:
    """One run of ``plan``, whose rows go to ``file``.

    ``make``: makes the system of a name with a setting. ``deadline``: of `time.monotonic`.
    ``say``: takes a line of progress.
    """

    def __init__(
        self,
        plan: Plan,
        file: RowFile,
        check: AnswerCheck,
        make: Callable[[str, Mapping[str, int]], System],
        *,
        deadline: float,
        say: Callable[[str], None],
    ) -> None:
        self.plan = plan
        self.file = file
        self.check = check
        self._make = make
        self._deadline = deadline
        self._say = say
        self._systems: dict[str, System] = {}
        self._next_post = 0

    def run(self) -> None:
        """Choose, then measure; the systems are up from their choice to the end."""
        with ExitStack() as stack:
            settings: dict[str, Mapping[str, int]] = {}
            for name in self.plan.systems:
                if name in OPTIONS:
                    settings[name] = self._choose_setting(name)
            for name in self.plan.systems:
                system = self._make(name, settings.get(name, {"threads": self.plan.threads[-1]}))
                self._systems[name] = stack.enter_context(system)
                self._say(f"{name} is up")
                # From now on others are measured: what does not rest is held still.
                self._note("idle_core_share", name, round(system.hold_if_it_spins(), 3))
            self._choose_callers()
            if CHAIN in self._systems:
                self._choose_chain()
            self._rounds()

    def _choose_setting(self, name: str) -> Mapping[str, int]:
        """Try every setting of a baseline, on posts with images."""
        grid = settings_grid(self.plan.threads, OPTIONS[name], self.plan.calls)
        if len(grid) == 1:
            self._note("settings", name, grid[0])
            return grid[0]
        levels: list[Level] = []
        for setting in grid:
            with self._make(name, setting) as system:
                levels += [self._try(system, n) for n in self.plan.setting_callers]
        best = best_level(levels, self.plan.p99_ms)
        self._note("tried_settings", name, [level.to_json() for level in levels])
        self._note("settings", name, dict(best.setting))
        self._say(f"{name}: best of {len(levels)} levels is {_words(best)}")
        return best.setting

    def _choose_callers(self) -> None:
        """Find each system's best number of callers, for either kind of posts."""
        formed: dict[str, int] = {}
        for name, system in self._systems.items():
            if name in (AGAINST, CHAIN):
                continue
            for kind in KINDS:
                levels = []
                for callers in self.plan.sweep:
                    levels.append(self._try(system, callers, kind))
                    batch = self.last_batch
                    if (name, kind) == (SERVER, "images") and batch is not None:
                        formed[str(callers)] = max(1, round(batch))
                best = best_level(levels, self.plan.p99_ms)
                self._note("tried_callers", f"{kind} {name}", [v.to_json() for v in levels])
                self._note("best_callers", f"{kind} {name}", best.callers)
                self._say(f"{name}, {kind}: best is {_words(best)}")
        self.file.note("formed_batch", formed)

    def _choose_chain(self) -> None:
        """Find the bare chain's best number of threads, at the batch that the server forms."""
        chain = self._systems[CHAIN]
        assert isinstance(chain, Chain)
        batch = self._formed_batch()
        levels = []
        for threads in self.plan.threads:
            chain.setting = {"threads": threads}
            levels += [self._try(chain, size) for size in sorted({*self.plan.calls, batch})]
        at_batch = [level for level in levels if level.callers == batch]
        chain.setting = max(at_batch, key=lambda level: level.posts_per_second).setting
        self._note("tried_settings", CHAIN, [level.to_json() for level in levels])
        self._note("settings", CHAIN, dict(chain.setting))
        self._say(f"{CHAIN}: {dict(chain.setting)} is best at batch {batch}")

    def _formed_batch(self) -> int:
        """The batch that the server forms of the most callers that marks are held at."""
        formed: Mapping[str, int] = self.file.run.notes["formed_batch"]
        return formed.get(str(max(self.plan.callers)), 1)

    def _try(self, system: System, level: int, kind: str = "images") -> Level:
        load = system.load(kind, level=level, first=self._next_post, seconds=self.plan.tuning_s)
        self._next_post += len(load.answers)
        self.check.row(load, number=0, kind=kind, system=system.name, level=level)
        self.last_batch = load.batch
        return level_of(system.setting, level, load)

    def _turns(self) -> Iterator[Turn]:
        """List the measurements of a round."""
        best = self.file.run.notes["best_callers"]
        for kind in KINDS:
            for name in self._systems:
                if name == CHAIN:
                    levels = {1, self._formed_batch()}
                elif name in OPTIONS:
                    levels = {best[f"{kind} {name}"]}
                else:
                    levels = {*self.plan.callers}
                    levels |= {best[f"{kind} {name}"]} if name == SERVER else set()
                yield from ((name, kind, level) for level in sorted(levels))

    def _rounds(self) -> None:
        turns = list(self._turns())
        seconds = self.plan.seconds(len(turns), self._deadline - time.monotonic())
        self.file.note("seconds", round(seconds, 2))
        for number in range(self.plan.rounds):
            if number and time.monotonic() > self._deadline:
                self._say(f"the time limit ends the run after {number} rounds")
                break
            # Whoever goes first changes from round to round; all begin with the same post.
            first = number * len(turns) // self.plan.rounds
            post = number * self.plan.posts // self.plan.rounds
            for name, kind, level in turns[first:] + turns[:first]:
                load = self._systems[name].load(kind, level=level, first=post, seconds=seconds)
                self.file.add(
                    self.check.row(load, number=number, kind=kind, system=name, level=level)
                )
            self._say(self._round_line(number, turns))

    def _round_line(self, number: int, turns: Sequence[Turn]) -> str:
        rows = [row for row in self.file.run.rows if row.round == number]
        told = [
            f"{r.system}@{r.level} {r.posts_per_second:.1f}" for r in rows if r.kind == "images"
        ]
        return f"round {number + 1} of {self.plan.rounds}: " + ", ".join(told)

    def _note(self, name: str, key: str, value: Any) -> None:
        self.file.note(name, {**self.file.run.notes.get(name, {}), key: value})


def _words(level: Level) -> str:
    options = " ".join(f"{name} {value}" for name, value in level.setting.items())
    return (
        f"{options + ', ' if options else ''}{level.callers} callers: "
        f"{level.posts_per_second:.1f} posts/s, p99 {level.p99_ms:.0f} ms"
    )
