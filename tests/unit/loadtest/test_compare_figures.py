"""Figures, choices and marks of `compare.py`: what is computed of rows, and rows on disk."""

from __future__ import annotations

import json

import pytest
from comparison.answers import AnswerCheck
from comparison.callers import Load
from comparison.checkout import missing_requirements
from comparison.figures import latency_percentiles, rates, ratio, spread
from comparison.marks import AGAINST, CHAIN, FASTAPI, SERVER, MarkSettings, has_amx, judge
from comparison.plan import FULL, QUICK
from comparison.report import markdown, ratio_rows, to_json
from comparison.rows import RowFile, Run, TimedRow, read_run
from comparison.tuning import Level, best_level, settings_grid

MACHINE = {"processor": "a processor", "cores": 2, "system": "Linux", "python": "3.11"}


def row(number, system, level, per_second, kind="images", latencies=(10.0, 30.0)):
    return TimedRow(
        round=number,
        kind=kind,
        system=system,
        level=level,
        seconds=2.0,
        answers=int(2 * per_second),
        latencies_ms=tuple(latencies),
        failed=0,
        wrong=0,
        batch=None,
        client_cpu_share=0.1,
    )


def run_of(rows, systems, **notes):
    header = {"machine": MACHINE, "against": "abc1234", **FULL.to_json(), "systems": systems}
    return Run(header=header, notes=notes, rows=rows)


def level(per_second, p99_ms, callers=1, **setting):
    return Level(setting=setting, callers=callers, posts_per_second=per_second, p99_ms=p99_ms)


def test_a_ratio_is_of_one_round_and_its_median_of_all():
    """The machine halves its speed in the second round: no ratio changes."""
    rows = [row(i, SERVER, 1, rate) for i, rate in enumerate((30, 15, 36))]
    rows += [row(i, AGAINST, 1, rate) for i, rate in enumerate((20, 10, 20))]
    ours, theirs = (rates(rows, kind="images", system=s, level=1) for s in (SERVER, AGAINST))
    found = ratio(ours, theirs)
    assert (found.median, found.low, found.high, found.rounds) == (1.5, 1.5, 1.8, 3)


def test_a_round_that_one_of_the_two_lacks_has_no_ratio():
    assert ratio({0: 10.0, 1: 12.0}, {1: 6.0}).rounds == 1
    assert ratio({0: 10.0}, {1: 6.0}) is None
    assert ratio({0: 10.0}, {0: 0.0}) is None
    assert spread([]) is None


def test_latencies_are_of_all_answers_and_their_range_of_the_rounds():
    rows = [row(0, SERVER, 1, 1, latencies=[10.0] * 99), row(1, SERVER, 1, 1, latencies=[50.0])]
    found = latency_percentiles(rows)
    assert found["answers"] == 100
    assert found["p50_ms"] == {"all": 10.0, "low": 10.0, "high": 50.0}


def test_the_best_level_is_the_fastest_that_keeps_the_p99():
    levels = [level(10, 100, 1), level(20, 400, 8), level(30, 900, 16)]
    assert best_level(levels, 500).callers == 8
    assert best_level(levels[2:], 500).callers == 16  # none keeps it: the nearest
    with pytest.raises(ValueError, match="no level"):
        best_level([], 500)


def test_every_setting_is_tried_with_every_number_of_threads():
    grid = settings_grid((1, 2), "calls", (1, 4))
    assert len(grid) == 4
    assert {"threads": 2, "calls": 4} in grid


def marks_of(images, text, chain, **settings):
    rows = []
    for callers in (1, 16):
        for kind, against in (("images", 10), ("text", 10)):
            rate = images if kind == "images" else text
            rows += [row(0, SERVER, callers, rate, kind), row(0, AGAINST, callers, against, kind)]
    rows += [row(0, CHAIN, 12, chain), row(0, FASTAPI, 4, 10)]
    best = {"images server": 16, "images fastapi": 4}
    run = run_of(
        rows, [SERVER, AGAINST, FASTAPI, CHAIN], best_callers=best, formed_batch={"16": 12}
    )
    return judge(run, MarkSettings(**settings))


def test_the_marks_that_are_reached_break_nothing():
    marks = marks_of(images=15, text=40, chain=16)
    assert [mark.kept for mark in marks] == [True, True, True, True, False, True]
    assert not any(mark.broken for mark in marks)  # FastAPI's is told and not judged
    assert marks[4].verdict() == "not reached, not judged"
    assert "batch 12" in marks[5].name


@pytest.mark.parametrize(
    ("change", "broken"),
    [({"images": 14}, "images"), ({"text": 39}, "text-only"), ({"chain": 17}, "bare chain")],
)
def test_a_mark_that_is_not_reached_breaks_the_run(change, broken):
    marks = marks_of(**{"images": 15, "text": 40, "chain": 16, **change})
    assert all(broken in mark.name for mark in marks if mark.broken)
    assert any(mark.broken for mark in marks)


def test_the_baselines_marks_are_judged_when_that_is_asked_for():
    (fastapi,) = (m for m in marks_of(15, 40, 16, judge_baselines=True) if FASTAPI in m.name)
    assert fastapi.broken


def test_a_judged_mark_that_was_not_measured_is_broken():
    run = run_of([row(0, SERVER, 1, 10)], [SERVER, AGAINST])
    assert all(
        mark.broken and mark.verdict() == "not measured" for mark in judge(run, MarkSettings())
    )


def test_amx_is_read_from_the_processor_flags(tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text("flags\t: fpu avx2 amx_bf16 amx_tile\n")
    assert has_amx(file)
    file.write_text("flags\t: fpu avx2\n")
    assert not has_amx(file)
    assert not has_amx(tmp_path / "absent")


def test_rows_are_read_again_but_for_a_line_that_a_kill_cut_off(tmp_path):
    file = RowFile(tmp_path / "out" / "rows.jsonl", {"machine": MACHINE, "rounds": 7})
    file.note("settings", {"chain": {"threads": 2}})
    file.add(row(0, SERVER, 1, 20))
    file.add(row(1, SERVER, 1, 22))
    assert read_run(file.path) == file.run
    whole = file.path.read_text()
    file.close()
    file.path.write_text(whole[:-20])
    found = read_run(file.path)
    assert found.notes == file.run.notes
    assert found.rows == file.run.rows[:1]


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"row": "timed"}\n{"row": "timed"}\n')
    with pytest.raises(ValueError, match="line 1, is no row"):
        read_run(path)
    path.write_text("")
    with pytest.raises(ValueError, match="is empty"):
        read_run(path)


def test_a_report_of_some_rounds_names_machine_rounds_and_ratios():
    rows = [row(0, SERVER, 1, 30), row(0, AGAINST, 1, 20), row(0, CHAIN, 1, 25)]
    run = run_of(rows, [SERVER, AGAINST, CHAIN], seconds=2.0)
    text = markdown(run, judge(run, MarkSettings()), ["2 calls failed"])
    assert "a processor, 2 cores" in text
    assert "1 rounds of 7" in text
    assert "| images | 1 | abc1234 | 1 | 1.5 (1.5 to 1.5) |" in text
    assert "FAILED: 2 calls failed" in text
    assert {r["system"]: r["ratio"]["median"] for r in ratio_rows(run)} == {
        AGAINST: 1.5,
        CHAIN: 1.2,
    }
    assert json.loads(json.dumps(to_json(run, [], [])))["rounds_done"] == 1


def test_the_seconds_of_a_measurement_fill_the_time_that_is_left():
    assert FULL.seconds(20, 7 * 20 * 4.5) == pytest.approx(3.0)
    assert FULL.seconds(20, 1.0) < 1  # the shortest
    assert QUICK.seconds(1, 10_000) < 10  # the longest


ANSWER = {"start": 0, "end": 6, "type": "PER", "score": 0.9, "box": [0, 0, 10, 10]}


def load(*answers, failures=(), callers=1):
    return Load(
        callers=callers,
        seconds=1.0,
        latencies_s=tuple(0.01 * (i + 1) for i in range(len(answers))),
        answers=answers,
        failures=failures,
        cpu_s=0.25,
    )


@pytest.mark.parametrize(
    "wrong",
    [[], [{**ANSWER, "type": "LOC"}], [{**ANSWER, "box": None}], [ANSWER, {**ANSWER, "start": 3}]],
)
def test_a_wrong_answer_or_a_failed_call_is_not_counted_as_served(wrong):
    check = AnswerCheck({"images": [[ANSWER], []]})
    outcome = load((0, [ANSWER]), (0, wrong), (1, []), failures=("no answer",))
    found = check.row(outcome, number=0, kind="images", system=SERVER, level=1)
    assert (found.answers, found.wrong, found.failed) == (2, 1, 1)
    assert found.latencies_ms == (10.0, 30.0)
    assert found.posts_per_second == 2.0
    assert found.client_cpu_share == 0.25
    assert (check.checked, check.wrong, check.failed) == (3, 1, 1)
    assert len(check.examples) == 2


def test_a_near_box_and_a_near_score_are_the_same_answer():
    check = AnswerCheck({"images": [[ANSWER]]})
    near = {**ANSWER, "score": 0.91, "box": [0, 0, 10, 9.9]}
    assert check.row(load((0, [near])), number=0, kind="images", system=SERVER, level=1).wrong == 0


def test_what_a_commit_needs_and_we_lack():
    pyproject = """
    [project]
    dependencies = ["numpy>=1", "surely-no-such-package>=2"]
    [project.optional-dependencies]
    server = ["tokenizers", "mqspn-triton[build]", "not-for-this>1; python_version < '3'"]
    build = ["also-absent==1.0"]
    dev = ["absent-but-not-asked-for"]
    """
    assert missing_requirements(pyproject) == ["also-absent==1.0", "surely-no-such-package>=2"]
