"""The callers of `compare.py` against a small HTTP server, and a system's processes."""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest
from comparison.callers import http_call, run_callers
from comparison.server_process import ServerProcess, SystemEndedError
from posts import LoadPost

POSTS = [LoadPost(str(i), f"post {i}", b"image" if i % 2 else None) for i in range(5)]


@pytest.fixture
def port():
    """A server that names each post it gets; the text "post 4" is refused."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content = json.dumps({"entities": [body]}).encode()
            self.send_response(500 if body["text"] == "post 4" else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_callers_send_posts_in_turn_and_keep_every_answer_and_failure(port):
    found = run_callers(http_call(port), POSTS, callers=2, first=3, seconds=0.3)
    assert found.answers[0][0] in (3, 0)
    assert {place for place, _ in found.answers} == {0, 1, 2, 3}
    for place, (body,) in found.answers:
        assert body == {"text": f"post {place}", "image": "aW1hZ2U=" if place % 2 else None}
    assert len(found.answers) == len(found.latencies_s)
    assert found.failures[0].startswith("HTTP 500")
    assert found.seconds >= 0.3
    assert found.cpu_s > 0


def test_nobody_there_is_a_failure_of_each_call():
    found = run_callers(http_call(1), POSTS, callers=1, first=0, seconds=0.0)
    assert found.answers == ()
    assert "refused" in found.failures[0]


def process(code, tmp_path):
    return ServerProcess([sys.executable, "-c", code], environment={}, log=tmp_path / "log")


def eventually(condition):
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_a_system_that_spins_is_held_still_between_its_turns_and_leaves_nothing(tmp_path):
    code = "print('up', flush=True)\nwhile True: pass"
    with process(code, tmp_path) as system:
        assert eventually(lambda: "up" in system.log.read_text())
        assert system.hold_if_it_spins() > 0.03
        (spinning,) = system.processes()
        assert spinning.status() == psutil.STATUS_STOPPED
        system.resume()
        assert eventually(lambda: spinning.status() == psutil.STATUS_RUNNING)
        system.pause()
    assert not spinning.is_running()


def test_a_system_that_rests_is_left_alone(tmp_path):
    with process("import time; print('up', flush=True); time.sleep(60)", tmp_path) as system:
        assert eventually(lambda: "up" in system.log.read_text())
        time.sleep(0.2)
        assert system.hold_if_it_spins() <= 0.03
        assert system.processes()[0].status() == psutil.STATUS_SLEEPING


def test_a_system_that_ends_by_itself_says_its_last_lines(tmp_path):
    with process("raise SystemExit('no model here')", tmp_path) as system:
        assert eventually(lambda: system._process.poll() is not None)
        with pytest.raises(SystemEndedError, match="no model here"):
            system.check()
