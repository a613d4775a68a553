"""Check where load may be sent: to this machine, unless the user allows another."""

from __future__ import annotations

import ipaddress

__all__ = ["check_address", "is_loopback"]


def is_loopback(url: str) -> bool:
    """Tell whether ``url`` (HOST:PORT) is this machine: "localhost" or a loopback address."""
    host = url.rpartition(":")[0].strip("[]") or url
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(url: str, *, allow_remote: bool) -> None:
    """Raise ValueError for another machine's address, unless ``allow_remote``."""
    if not allow_remote and not is_loopback(url):
        raise ValueError(
            f"{url} is not this machine; load is only sent there with --allow-remote, and with its "
            "owner's consent"
        )
