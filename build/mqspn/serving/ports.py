"""Check that a port can be opened, and find free ones."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

from mqspn.serving.errors import PortInUseError

__all__ = ["check_port", "format_address", "free_ports", "is_listening"]


def check_port(host: str, port: int, option: str) -> None:
    """Raise PortInUseError, naming ``option``, where ``port`` of ``host`` cannot be opened."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise PortInUseError(f"cannot listen on host {host!r}: {error.strerror}") from error
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(
                    f"port {port} of {host} is in use; stop what uses it or choose another "
                    f"with {option}"
                ) from error
            raise PortInUseError(
                f"cannot listen on port {port} of {host}: {error.strerror}; choose another with "
                f"{option}"
            ) from error


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Find ``count`` different ports that nothing listens on just now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind((host, 0))
        return [s.getsockname()[1] for s in sockets]


def is_listening(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Tell whether something accepts connections on ``port``; for "0.0.0.0", on loopback."""
    try:
        socket.create_connection((_reachable(host), port), timeout=timeout_s).close()
    except OSError:
        return False
    return True


def format_address(host: str, port: int) -> str:
    """Write ``host:port`` as a local caller does, an IPv6 host in brackets."""
    host = _reachable(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
