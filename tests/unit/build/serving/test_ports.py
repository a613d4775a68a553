"""Ports are tried before the server is, on real sockets."""

from __future__ import annotations

import socket

import pytest
from mqspn.serving.errors import PortInUseError
from mqspn.serving.ports import check_port, format_address, free_ports, is_listening


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        check_port("127.0.0.1", port, "--grpc-port")
        assert not is_listening("127.0.0.1", port)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_a_taken_port_is_named_with_its_option(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert is_listening(host, port)
        with pytest.raises(PortInUseError, match=rf"port {port} of {host} is in use.*--http-port"):
            check_port(host, port, "--http-port")


def test_a_connection_that_lingers_does_not_hold_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            listener.accept()[0].close()  # closed by this side first: TIME_WAIT stays here
    check_port("127.0.0.1", port, "--grpc-port")


def test_a_host_that_is_not_ours_is_named() -> None:
    with pytest.raises(PortInUseError, match=r"192\.0\.2\.1"):
        check_port("192.0.2.1", 8001, "--grpc-port")
    with pytest.raises(PortInUseError, match="no-such-host"):
        check_port("no-such-host.invalid", 8001, "--grpc-port")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1:8001"),
        ("0.0.0.0", "127.0.0.1:8001"),
        ("::1", "[::1]:8001"),
        ("::", "[::1]:8001"),
        ("server.example", "server.example:8001"),
    ],
)
def test_addresses_as_a_local_caller_writes_them(host: str, address: str) -> None:
    assert format_address(host, 8001) == address
