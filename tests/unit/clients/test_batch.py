"""Batch jobs against a real gRPC server."""

import json
import os
import random
import threading
import time
import tracemalloc

import grpc
import pytest
from mqspn_client import Client, RetrySettings, ServerUnreachableError
from mqspn_client.batch import BatchInputError, BatchSettings, BatchStoppedError, run_batch

from tests.unit.clients.kserve_server import RefusalError

FAST = RetrySettings(attempts=2, initial_s=0.01)


@pytest.fixture
def client(server):
    with Client(server.url, timeout_s=10, retry=FAST) as client:
        yield client


@pytest.fixture
def job(client, tmp_path):
    """Run a job over lines (objects, or text as it is) and return its counts and output rows."""

    def run(lines, **settings):
        write(tmp_path / "in.jsonl", lines)
        counts = run_batch(
            client,
            str(tmp_path / "in.jsonl"),
            str(tmp_path / "out.jsonl"),
            BatchSettings(progress=False, **settings),
        )
        return counts, read(tmp_path / "out.jsonl")

    return run


def write(path, lines):
    with path.open("wb") as file:
        for line in lines:
            if isinstance(line, dict):
                line = json.dumps(line)
            file.write((line if isinstance(line, bytes) else line.encode()) + b"\n")


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_two_thousand_rows_with_bad_ones_among_them(job, server, tmp_path, png):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(png)
    (tmp_path / "images" / "bad.png").write_bytes(b"no image")
    chooser = random.Random(3)
    kinds = {
        "text": (lambda i: {"id": i, "text": f"N{i}"}, None),
        "image": (lambda i: {"id": f"r{i}", "text": f"N{i}", "image": "images/a.png"}, None),
        "missing": (lambda i: {"id": i, "text": "A", "image": "no.png"}, "IMAGE_UNREADABLE"),
        "bad": (lambda i: {"id": i, "text": "A", "image": "images/bad.png"}, "IMAGE_FORMAT"),
        "no text": (lambda i: {"id": i}, "ROW_INVALID"),
        "not json": (lambda i: "{" * (i % 3 + 1), "ROW_INVALID"),
    }
    picked = [chooser.choices(list(kinds), [60, 20, 5, 5, 5, 5])[0] for _ in range(2000)]
    server.always = lambda tensors, context: time.sleep(chooser.random() * 0.004)
    counts, rows = job([kinds[kind][0](i) for i, kind in enumerate(picked)], concurrency=6)

    assert len(rows) == 2000
    for i, (kind, row) in enumerate(zip(picked, rows, strict=True)):
        sent, code = kinds[kind][0](i), kinds[kind][1]
        assert row["id"] == (sent["id"] if isinstance(sent, dict) else None)
        if code:
            assert set(row) == {"id", "error"}
            assert row["error"]["code"] == code
            assert row["error"]["message"]
        else:
            (entity,) = row["entities"]
            assert entity["text"] == f"N{i}"
            assert entity["box"] == ([0, 0, 40, 30] if kind == "image" else None)
    failed = sum(kinds[kind][1] is not None for kind in picked)
    assert (counts.answered, counts.failed) == (2000 - failed, failed)
    assert 1 < server.most_at_once <= 6
    assert not (tmp_path / "out.jsonl.part").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "not JSON"),
        (b'{"id": 1, "text": "\xff"}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"text": "A"}', "has no id"),
        ('{"id": true, "text": "A"}', "id"),
        ('{"id": 1.5, "text": "A"}', "id"),
        ({"id": 1}, "text is missing"),
        ({"id": 1, "text": None}, "text is not a string"),
        ({"id": 1, "text": "A", "image": 3}, "image must be"),
        ({"id": 1, "text": "A", "image": ""}, "image must be"),
        ({"id": 1, "text": "A", "regions": "all"}, "regions must be"),
    ],
)
def test_a_row_that_is_no_post_says_why_and_where(job, line, message):
    _, rows = job([{"id": 0, "text": "First"}, line, {"id": 2, "text": "Last"}])
    assert [len(row.get("entities", [])) for row in rows] == [1, 0, 1]
    assert rows[1]["error"]["code"] == "ROW_INVALID"
    assert message in rows[1]["error"]["message"]
    assert "line 2" in rows[1]["error"]["message"]


def test_blank_lines_other_keys_and_a_byte_order_mark_are_passed_over(job):
    counts, rows = job([b'\xef\xbb\xbf{"id": 1, "text": "A1", "lang": "en"}', "", " ", '{"id": 2}'])
    assert [row["id"] for row in rows] == [1, 2]
    assert (counts.answered, counts.failed) == (1, 1)


def test_half_a_surrogate_pair_does_not_stop_the_job(job):
    _, rows = job(['{"id": "\\ud83d", "text": "A1"}', '{"id": "b", "text": "\\ud83d"}'])
    assert rows[0]["id"] == "\ud83d"
    assert rows[1]["error"]["code"] == "TEXT_NOT_UTF8"


def test_the_same_id_twice_is_two_rows(job):
    _, rows = job([{"id": 1, "text": "A1"}, {"id": 1, "text": "B1"}])
    assert [row["entities"][0]["text"] for row in rows] == ["A1", "B1"]


def test_regions_go_along(job, tmp_path, png, server):
    (tmp_path / "a.png").write_bytes(png)
    _, rows = job([{"id": 1, "text": "A1", "image": "a.png", "regions": [[1, 2, 3, 4]]}])
    assert rows[0]["entities"][0]["box"] == [1, 2, 3, 4]


def test_images_are_found_from_the_image_root_and_by_absolute_path(job, tmp_path, png):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(png)
    absolute = str(tmp_path / "pictures" / "a.png")
    rows = [{"id": 1, "text": "A1", "image": "a.png"}, {"id": 2, "text": "B1", "image": absolute}]
    counts, _ = job(rows, image_root=tmp_path / "pictures")
    assert counts.answered == 2


def test_an_empty_input_makes_an_empty_output(job):
    counts, rows = job([])
    assert (counts.answered, counts.failed, rows) == (0, 0, [])


def test_a_server_error_is_its_row_s(job, server):
    def fail_one(tensors, context):
        if tensors["TEXT"][0, 0] == b"B1":
            raise RefusalError(grpc.StatusCode.INTERNAL, "the model broke")

    server.always = fail_one
    counts, rows = job([{"id": i, "text": t} for i, t in enumerate(["A1", "B1", "C1"])])
    assert rows[1]["error"]["code"] == "SERVER_INTERNAL"
    assert (counts.answered, counts.failed) == (2, 1)


def test_a_failing_client_is_its_row_s_too_and_stops_nothing(job, client, monkeypatch):
    def broken(*args, **kwargs):
        raise KeyError("surprise")

    monkeypatch.setattr(client, "predict", broken)
    counts, rows = job([{"id": i, "text": "A"} for i in range(30)], give_up_after=2)
    assert counts.failed == 30
    assert rows[2]["error"] == {
        "code": "ROW_INVALID",
        "message": "line 3: the client failed on it: KeyError: 'surprise'",
    }


def test_a_server_that_goes_away_stops_the_job_which_can_be_resumed(job, server, tmp_path):
    lines = [{"id": i, "text": f"N{i}"} for i in range(200)]
    seen = []

    def vanish(tensors, context):
        seen.append(tensors)
        if len(seen) > 50:
            raise RefusalError(grpc.StatusCode.UNAVAILABLE, "Stream removed (Socket closed)")

    server.always = vanish
    with pytest.raises(BatchStoppedError, match="5 rows in a row") as stopped:
        job(lines, concurrency=3, give_up_after=5)
    part = tmp_path / "out.jsonl.part"
    assert not (tmp_path / "out.jsonl").exists()
    written = read(part)
    assert len(written) == stopped.value.counts.answered > 40
    assert all("entities" in row for row in written)

    with part.open("ab") as file:
        file.write(b'{"id": 51, "enti')  # a kill in the middle of a line
    server.always = None
    sent_before = len(server.requests)
    counts, rows = job(lines, resume=True)
    assert [row["id"] for row in rows] == list(range(200))
    assert all(row["entities"][0]["text"] == f"N{row['id']}" for row in rows)
    assert (counts.resumed, counts.answered) == (len(written), 200 - len(written))
    assert len(server.requests) - sent_before == 200 - len(written)


def test_an_answer_asked_for_before_the_server_went_is_no_sign_that_it_is_there(
    job, server, tmp_path
):
    """A row's failure is written only if a call that began after it is answered."""
    second_arrived = threading.Event()

    def answer_only_the_first_and_third(tensors, context):
        text = tensors["TEXT"][0, 0]
        if text == b"N2":
            second_arrived.set()
        elif text != b"N0":
            second_arrived.wait(10)
            raise RefusalError(grpc.StatusCode.INTERNAL, "gone")

    server.always = answer_only_the_first_and_third
    lines = [{"id": i, "text": f"N{i}"} for i in range(40)]
    with pytest.raises(BatchStoppedError) as stopped:
        job(lines, concurrency=3, give_up_after=5)
    assert [row["id"] for row in read(tmp_path / "out.jsonl.part")] == [0]
    assert (stopped.value.counts.answered, stopped.value.counts.failed) == (1, 0)


def test_bad_rows_do_not_hide_that_the_server_is_gone(job, server):
    server.always = lambda tensors, context: (_ for _ in ()).throw(
        RefusalError(grpc.StatusCode.INTERNAL, "Stub process is not healthy")
    )
    lines = [{"id": i, "text": f"N{i}"} if i % 2 else {"id": i} for i in range(100)]
    with pytest.raises(BatchStoppedError, match="not healthy"):
        job(lines, give_up_after=10)
    assert len(server.requests) < 60


def test_a_row_that_cannot_be_served_between_good_ones_stops_nothing(job, server):
    def every_second(tensors, context):
        if int(tensors["TEXT"][0, 0][1:]) % 2:
            raise RefusalError(grpc.StatusCode.INTERNAL, "broke")

    server.always = every_second
    lines = [{"id": i, "text": f"N{i}"} for i in range(60)]
    counts, rows = job(lines, give_up_after=2)
    assert (counts.answered, counts.failed) == (30, 30)
    assert ["error" in row for row in rows] == [bool(i % 2) for i in range(60)]


def test_failures_at_the_very_end_are_written(job, server):
    def last(tensors, context):
        if tensors["TEXT"][0, 0] == b"N9":
            raise RefusalError(grpc.StatusCode.INTERNAL, "broke")

    server.always = last
    counts, rows = job([{"id": i, "text": f"N{i}"} for i in range(10)])
    assert len(rows) == 10
    assert counts.failed == 1


def test_another_input_is_not_resumed(job, tmp_path):
    write(tmp_path / "out.jsonl.part", [{"id": 7, "entities": []}])
    with pytest.raises(BatchInputError, match="another input"):
        job([{"id": 8, "text": "A"}], resume=True)
    with pytest.raises(BatchInputError, match="has ended"):
        job([], resume=True)
    write(tmp_path / "out.jsonl.part", ["nonsense"])
    with pytest.raises(BatchInputError, match="no output row"):
        job([{"id": 8, "text": "A"}], resume=True)


def test_no_server_leaves_an_earlier_part_alone(server, tmp_path):
    server.stop()
    write(tmp_path / "in.jsonl", [{"id": 1, "text": "A"}])
    write(tmp_path / "out.jsonl.part", [{"id": 1, "entities": []}])
    with (
        Client(server.url, retry=FAST) as client,
        pytest.raises(ServerUnreachableError),
    ):
        run_batch(
            client,
            str(tmp_path / "in.jsonl"),
            str(tmp_path / "out.jsonl"),
            BatchSettings(progress=False),
        )
    assert (tmp_path / "out.jsonl.part").read_text()


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("missing.jsonl", "out.jsonl", "cannot read input"),
        ("in.jsonl", "in.jsonl", "same file"),
        ("in.jsonl", "no/such/folder/out.jsonl", "cannot write"),
        ("in.jsonl", ".", "is a folder"),
    ],
)
def test_files_that_will_not_do(client, tmp_path, monkeypatch, source, target, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in.jsonl", [])
    with pytest.raises(BatchInputError, match=message):
        run_batch(client, source, target, BatchSettings(progress=False))


def test_input_is_read_as_it_is_needed(client, server, tmp_path):
    """From a pipe that stays open: rows come out while others have not yet gone in."""
    os.mkfifo(tmp_path / "in.jsonl")
    settings = BatchSettings(progress=False, concurrency=2)
    paths = (str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl"))
    thread = threading.Thread(target=run_batch, args=(client, *paths, settings))
    thread.start()
    part = tmp_path / "out.jsonl.part"
    with (tmp_path / "in.jsonl").open("w") as pipe:
        for i in range(50):
            pipe.write(json.dumps({"id": i, "text": f"N{i}"}) + "\n")
        pipe.flush()
        until = time.monotonic() + 10

        def lines_out() -> int:  # the last line may be half written
            return part.read_bytes().count(b"\n") if part.exists() else 0

        while lines_out() <= 30 and time.monotonic() < until:
            time.sleep(0.02)
        assert lines_out() > 30
    thread.join(10)
    assert len(read(tmp_path / "out.jsonl")) == 50


def test_memory_does_not_grow_with_the_input(client, server, tmp_path):
    """Rows of 100 kB each, 40 MB in all, in a few MB."""

    server.always = lambda tensors, context: [
        b'{"entities": [], "model_version": "", "truncated": false}'
    ]
    filler = "x" * 100_000
    write(tmp_path / "in.jsonl", ({"id": i, "text": "A", "filler": filler} for i in range(400)))
    settings = BatchSettings(progress=False, concurrency=2)
    tracemalloc.start()
    run_batch(client, str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl"), settings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
