"""The commands and their exit codes, against a real gRPC server."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from mqspn_client import __version__
from mqspn_client.command import app
from PIL import Image
from typer.testing import CliRunner

PROGRAM = [sys.executable, "-m", "mqspn_client.command"]


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)


def mqspn(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def image(tmp_path, png):
    path = tmp_path / "a.png"
    path.write_bytes(png)
    return path


def test_it_says_its_version():
    done = mqspn("--version")
    assert (done.exit_code, done.stdout) == (0, f"mqspn-client {__version__}\n")


def test_without_arguments_it_lists_its_commands():
    done = mqspn()
    assert all(name in done.output for name in ("Usage", "--version", "predict", "batch"))


def test_predict_prints_a_table(server, image):
    done = mqspn("predict", "--url", server.url, "--text", "so Jordan [red]", "--image", image)
    out = done.stdout
    assert done.exit_code == 0
    row = next(line for line in out.splitlines() if "Jordan" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == [
        "Jordan",
        "3-9",
        "PER",
        "0.90",
        "0, 0, 40, 30",
    ]


def test_predict_says_where_there_is_no_box(server, image):
    regions = ["--regions", "0,0,0,1"]
    done = mqspn("predict", "--url", server.url, "--text", "Jordan")
    assert "no image" in done.stdout
    done = mqspn("predict", "--url", server.url, "--text", "jordan", "--image", image, *regions)
    assert "no entities" in done.stdout


def test_predict_prints_json(server, image):
    done = mqspn(
        "predict", "--url", server.url, "--text", "Jordan", "--image", image, "--json",
        "--regions", "1,2,3,4; 5,6,7.5,8",
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert answer["entities"][0]["box"] == [1, 2, 3, 4]
    assert server.requests[0]["REGIONS"][0].tolist() == [[1, 2, 3, 4], [5, 6, 7.5, 8]]


def test_predict_draws(server, image, tmp_path):
    target = tmp_path / "drawn.png"
    done = mqspn(
        "predict", "--url", server.url, "--text", "Jordan", "--image", image, "--draw", target
    )
    assert done.exit_code == 0
    with Image.open(target) as drawn:
        assert drawn.width == 640


@pytest.mark.parametrize("program", ["mqspn", "mqspn-client"])
def test_an_error_begins_with_the_name_of_the_program(program, monkeypatch):
    monkeypatch.setattr(sys, "argv", [f"/usr/bin/{program}"])
    done = mqspn("predict", "--text", "Jordan", "--timeout", "0")
    assert (done.exit_code, done.stderr) == (2, f"{program}: --timeout must be greater than 0\n")


@pytest.mark.parametrize("target", ["no/such/folder/a.png", "a.unknown"])
def test_an_answer_that_cannot_be_drawn_is_printed_all_the_same(server, target):
    done = mqspn("predict", "--url", server.url, "--text", "Jordan", "--json", "--draw", target)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"mqspn: cannot write {target}: ")
    assert done.stderr.count("\n") == 1
    assert json.loads(done.stdout)["entities"][0]["text"] == "Jordan"


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_an_output_without_the_letters_of_the_answer(server, environment, form):
    done = subprocess.run(
        [*PROGRAM, "predict", "--url", server.url, "--text", "Zażółć 😀", *form],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    if form:
        assert json.loads(done.stdout)["entities"][0]["text"] == "Zażółć"
    else:
        assert b"PER" in done.stdout
        assert "Zażółć" in done.stdout.decode() or b"Za????" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--url", "127.0.0.1:1"], 1, "cannot reach 127.0.0.1:1"),
        (["--url", "http://127.0.0.1:1"], 2, "url must be HOST:PORT"),
        (["--url", ""], 2, "as 127.0.0.1:8001, not ''"),
        (["--image", "missing.png"], 1, "IMAGE_UNREADABLE: cannot read image file missing.png"),
        (["--regions", "1,2,3"], 2, "--regions must be"),
        (["--regions", "1,2,3,x"], 2, "--regions must be"),
        (["--timeout", "0"], 2, "--timeout"),
        (["--root-certificates", "missing.pem"], 2, "cannot read missing.pem"),
        (["--nonsense"], 2, "No such option"),
    ],
)
def test_a_failure_is_one_plain_line_and_a_code(server, tmp_path, arguments, code, message):
    done = mqspn("predict", "--url", server.url, "--text", "Jordan", *arguments)
    err = done.stderr
    assert done.exit_code == code
    assert message in err
    assert "Traceback" not in err
    assert done.stdout == ""
    if arguments != ["--nonsense"]:
        assert err.count("\n") == 1


def batch_lines(count, bad=()):
    rows = [{"id": i} if i in bad else {"id": i, "text": f"N{i}"} for i in range(count)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.mark.parametrize(("bad", "code"), [((), 0), ((1, 4), 3)])
def test_batch_ends_with_its_counts_and_a_code(server, tmp_path, bad, code):
    (tmp_path / "in.jsonl").write_bytes(batch_lines(6, bad))
    done = mqspn("batch", "in.jsonl", "out.jsonl", "--url", server.url)
    assert done.exit_code == code
    last = done.stderr.strip().splitlines()[-1]
    assert last == f"6 rows: {6 - len(bad)} answered, {len(bad)} with errors"
    assert "6/6" in done.stderr
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == 6


def test_batch_reads_stdin_and_writes_stdout(server):
    done = subprocess.run(
        [*PROGRAM, "batch", "-", "-", "--quiet", "--url", server.url],
        input=batch_lines(5),
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == 0
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [0, 1, 2, 3, 4]
    assert done.stderr == b"5 rows: 5 answered, 0 with errors\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.jsonl", "out.jsonl"], 2, "cannot read input missing.jsonl"),
        (["in.jsonl", "in.jsonl"], 2, "same file"),
        (["in.jsonl", "-", "--resume"], 2, "--resume needs files"),
        (["in.jsonl", "out.jsonl", "--timeout", "-1"], 2, "--timeout"),
        (["in.jsonl", "out.jsonl", "--url", "127.0.0.1:1"], 1, "cannot reach 127.0.0.1:1"),
        (["in.jsonl", "out.jsonl", "--url", "localhost"], 2, "url must be HOST:PORT"),
    ],
)
def test_batch_that_cannot_start(server, tmp_path, arguments, code, message):
    (tmp_path / "in.jsonl").write_bytes(batch_lines(2))
    done = mqspn("batch", "--url", server.url, *arguments)
    assert done.exit_code == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.jsonl").exists()


def test_batch_interrupted_keeps_its_part_and_is_resumed(server, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(batch_lines(400))
    server.delay_s = 0.05
    command = [*PROGRAM, "batch", "in.jsonl", "out.jsonl", "--quiet"]
    job = subprocess.Popen([*command, "--url", server.url], stderr=subprocess.PIPE)
    part = tmp_path / "out.jsonl.part"
    until = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size > 2000) and time.monotonic() < until:
        time.sleep(0.05)
    job.send_signal(signal.SIGINT)
    _, err = job.communicate(timeout=20)
    assert job.returncode == 130
    assert b"interrupted; out.jsonl.part keeps" in err
    server.delay_s = 0
    done = mqspn("batch", "in.jsonl", "out.jsonl", "--resume", "--url", server.url)
    assert done.exit_code == 0
    assert "done before" in done.stderr
    rows = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert [json.loads(row)["id"] for row in rows] == list(range(400))


@pytest.mark.parametrize("count", [1, 3000])
def test_a_reader_that_leaves_ends_the_job_quietly(server, tmp_path, count):
    """``mqspn batch in.jsonl - | head -0``."""
    (tmp_path / "in.jsonl").write_bytes(batch_lines(count))
    job = subprocess.Popen(
        [*PROGRAM, "batch", "in.jsonl", "-", "--quiet", "--url", server.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    job.stdout.close()
    _, err = job.communicate(timeout=20)
    assert (job.returncode, err) == (141, b"")


def test_predict_interrupted_lets_its_call_end(server):
    ended = []

    def slow(tensors, context):
        time.sleep(1)
        ended.append(context.is_active())

    server.always = slow
    job = subprocess.Popen(
        [*PROGRAM, "predict", "--text", "Jordan", "--url", server.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 20
    while not server.requests and time.monotonic() < until:
        time.sleep(0.02)
    job.send_signal(signal.SIGINT)
    out, err = job.communicate(timeout=20)
    assert (job.returncode, out, err) == (130, b"", b"mqspn: interrupted\n")
    assert ended == [True]
