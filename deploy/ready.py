"""Check the health of a running server: `ready.py [PORT]` exits 0 once every model is ready.

It imports nothing but the standard library: it starts every ten seconds beside a busy server.
"""

from __future__ import annotations

import http.client
import sys

__all__ = ["is_ready"]


def is_ready(port: int) -> bool:
    """Ask Triton on this machine whether every model is loaded and warmed up."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_ready(int(sys.argv[1]) if len(sys.argv) > 1 else 8000) else 1)
