"""MQSPN: network, data, training, evaluation, export and the serving repository."""

from typing import TYPE_CHECKING

__all__ = ["__version__"]

if TYPE_CHECKING:
    from mqspn_client import __version__
else:

    def __getattr__(name: str) -> str:
        """Read `__version__` when asked for: the client imports gRPC, which takes a second."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from mqspn_client import __version__

        return __version__
