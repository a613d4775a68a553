"""The health check: a server's answer as an exit code, and nothing of ours imported for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from mqspn.serving.ports import free_ports

SCRIPT = Path(__file__).resolve().parents[3] / "deploy" / "ready.py"


def ready(port: int) -> int:
    """In a Python without any package."""
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(port)]
    return subprocess.run(command, timeout=60, check=False).returncode


@pytest.mark.parametrize(("status", "code"), [(200, 0), (400, 1), (503, 1)])
def test_it_is_ready_where_triton_says_so(status: int, code: int) -> None:
    class Triton(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/v2/health/ready" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Triton) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert ready(server.server_port) == code
        finally:
            server.shutdown()
            thread.join()


def test_without_a_server_it_is_not() -> None:
    (port,) = free_ports(1)
    assert ready(port) == 1
