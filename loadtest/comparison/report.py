"""Say what a run found: tables on the terminal, Markdown, and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from comparison.figures import latency_percentiles, rates, ratio, spread
from comparison.marks import SERVER, Mark
from comparison.post_sets import KINDS
from comparison.rows import Run, TimedRow

__all__ = ["markdown", "print_report", "ratio_rows", "speed_rows", "to_json"]

Cells = list[tuple[str, ...]]
_SPEED = ("posts", "system", "callers or batch", "posts/s", "p50 ms", "p99 ms", "caller's core")
_RATIOS = ("posts", "server at", "against", "at", "ratio")
_MARKS = ("mark", "at least", "measured", "verdict")


def speed_rows(run: Run) -> list[dict[str, Any]]:
    """List each system's posts a second and latencies at each level."""
    found = []
    for (kind, system, level), rows in _grouped(run).items():
        speed = spread(row.posts_per_second for row in rows)
        assert speed is not None
        batch = spread(row.batch for row in rows if row.batch is not None)
        found.append(
            {
                "kind": kind,
                "system": system,
                "level": level,
                "posts_per_second": speed.to_json(),
                "latency": latency_percentiles(rows) if any(r.latencies_ms for r in rows) else None,
                "batch": None if batch is None else batch.to_json(),
                "client_cpu_share": round(max(row.client_cpu_share for row in rows), 3),
                "failed": sum(row.failed for row in rows),
                "wrong": sum(row.wrong for row in rows),
                "speed": str(speed),
            }
        )
    return found


def ratio_rows(run: Run) -> list[dict[str, Any]]:
    """List the server's ratio to every other system: at the same callers, else best to best."""
    best = run.notes.get("best_callers", {})
    found = []
    for kind, system, level in _grouped(run):
        if system == SERVER:
            continue
        levels = [ours for k, s, ours in _grouped(run) if (k, s) == (kind, SERVER)]
        at = best.get(f"{kind} {SERVER}") if f"{kind} {system}" in best else level
        if system == "chain" and level != 1:
            at = max(run.header["callers"])
        if at not in levels:
            continue
        value = ratio(
            rates(run.rows, kind=kind, system=SERVER, level=at),
            rates(run.rows, kind=kind, system=system, level=level),
        )
        if value is not None:
            found.append(
                {
                    "kind": kind,
                    "server_level": at,
                    "system": system,
                    "level": level,
                    "ratio": value.to_json(),
                    "words": str(value),
                }
            )
    return found


def to_json(run: Run, marks: Sequence[Mark], failures: Sequence[str]) -> dict[str, Any]:
    """Make the report's JSON."""
    return {
        **run.header,
        **run.notes,
        "rounds_done": run.rounds,
        "speed": [{k: v for k, v in row.items() if k != "speed"} for row in speed_rows(run)],
        "ratios": [{k: v for k, v in row.items() if k != "words"} for row in ratio_rows(run)],
        "marks": [mark.to_json() for mark in marks],
        "failures": list(failures),
    }


def markdown(run: Run, marks: Sequence[Mark], failures: Sequence[str]) -> str:
    """Write the report as Markdown."""
    parts = [*_introduction(run), "", _table(_SPEED, _speed_cells(run))]
    parts += ["", _table(_RATIOS, _ratio_cells(run))]
    if marks:
        parts += ["", _table(_MARKS, _mark_cells(marks))]
    parts += [f"\nFAILED: {failure}" for failure in failures]
    return "\n".join(parts) + "\n"


def print_report(run: Run, marks: Sequence[Mark], failures: Sequence[str]) -> None:
    """Print the same as tables."""
    console = Console(width=max(110, Console().width))
    for line in _introduction(run):
        console.print(line, highlight=False, markup=False)
    tables = [(_SPEED, _speed_cells(run)), (_RATIOS, _ratio_cells(run))]
    tables += [(_MARKS, _mark_cells(marks))] if marks else []
    for columns, rows in tables:
        table = Table(*columns)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for failure in failures:
        console.print(f"FAILED {failure}", style="red", highlight=False, markup=False)


def _introduction(run: Run) -> list[str]:
    machine = run.header["machine"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}.",
        f"{run.rounds} rounds of {run.header['rounds']}, {run.header['posts']} distinct posts of "
        f"each kind, {run.notes.get('seconds', '?')} s a measurement. Medians, and the lowest and "
        "the highest round.",
    ]
    for system, setting in run.notes.get("settings", {}).items():
        options = ", ".join(f"{name} {value}" for name, value in setting.items())
        lines.append(f"Best setting of {system}: {options}.")
    return lines


def _speed_cells(run: Run) -> Cells:
    cells = []
    for row in speed_rows(run):
        latency = row["latency"]
        percentiles = [
            f"{latency[p]['all']} ({latency[p]['low']} to {latency[p]['high']})" if latency else ""
            for p in ("p50_ms", "p99_ms")
        ]
        level = str(row["level"])
        if row["batch"] is not None and row["system"] != "chain":
            level += f" (batches of {row['batch']['median']:.1f})"
        name = run.header["against"] if row["system"] == "against" else row["system"]
        share = f"{row['client_cpu_share']:.0%}"
        cells.append((row["kind"], name, level, row["speed"], *percentiles, share))
    return cells


def _ratio_cells(run: Run) -> Cells:
    return [
        (
            row["kind"],
            str(row["server_level"]),
            run.header["against"] if row["system"] == "against" else row["system"],
            str(row["level"]),
            row["words"],
        )
        for row in ratio_rows(run)
    ]


def _mark_cells(marks: Sequence[Mark]) -> Cells:
    return [
        (
            mark.name,
            f"{mark.least:g}",
            "" if mark.ratio is None else str(mark.ratio),
            mark.verdict(),
        )
        for mark in marks
    ]


def _grouped(run: Run) -> dict[tuple[str, str, int], list[TimedRow]]:
    """The rows by kind, system and level, in the order of the systems."""
    found: dict[tuple[str, str, int], list[TimedRow]] = {}
    order = run.header["systems"]
    for row in sorted(
        run.rows, key=lambda r: (KINDS.index(r.kind), order.index(r.system), r.level, r.round)
    ):
        found.setdefault((row.kind, row.system, row.level), []).append(row)
    return found


def _table(columns: Sequence[str], rows: Cells) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
