"""The errors of starting a server, one class for each reason.

    ServerError
    ├── PlatformError            not Linux on x86-64, or a Python without a Python backend
    ├── ServerNotFoundError      no tritonserver, or one without a backend it needs
    ├── PythonLibraryError       no libpython to run the Python backend in
    ├── RepositoryMissingError   no model repository there
    ├── PlanRefusedError         a TensorRT plan that is not for this graph, TensorRT or GPU
    ├── ProviderRefusedError     no GPU, or no ONNX Runtime that runs on it
    ├── PortInUseError           a port is taken
    └── ServerStartError         the server died, or was not ready in time

Every message says what to change and stands on its own: a command line prints it and exits.
"""

from __future__ import annotations

from mqspn.errors import BuildError

__all__ = [
    "PlanRefusedError",
    "PlatformError",
    "PortInUseError",
    "ProviderRefusedError",
    "PythonLibraryError",
    "RepositoryMissingError",
    "ServerError",
    "ServerNotFoundError",
    "ServerStartError",
]


class ServerError(BuildError):
    """The server cannot do what was asked; the message says what to change."""


class PlatformError(ServerError):
    """The embedded server does not run on this system or this Python."""


class ServerNotFoundError(ServerError):
    """There is no `tritonserver` here, or it lacks a backend that the serving profile needs."""


class PythonLibraryError(ServerError):
    """The shared library of the running Python is missing; the Python backend loads it."""


class RepositoryMissingError(ServerError):
    """The model repository does not exist or holds no model."""


class PlanRefusedError(ServerError):
    """A TensorRT plan (serving profile gpu) is absent, or not for this graph, TensorRT or GPU."""


class ProviderRefusedError(ServerError):
    """Serving profile cuda cannot run: no GPU, no ONNX Runtime for it, or not in the repository."""


class PortInUseError(ServerError):
    """Something else listens on a port, or this user may not open it."""


class ServerStartError(ServerError):
    """The server ended before it was ready, or was not ready in time."""
