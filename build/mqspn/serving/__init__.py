"""Start and stop a real Triton server on a model repository.

Needs the `[server]` extra or an installed `tritonserver`; never torch.
"""

from mqspn.serving.errors import (
    PlatformError,
    PortInUseError,
    PythonLibraryError,
    RepositoryMissingError,
    ServerError,
    ServerNotFoundError,
    ServerStartError,
)
from mqspn.serving.launcher import TritonServer
from mqspn.serving.server_settings import ServerSettings

__all__ = [
    "PlatformError",
    "PortInUseError",
    "PythonLibraryError",
    "RepositoryMissingError",
    "ServerError",
    "ServerNotFoundError",
    "ServerSettings",
    "ServerStartError",
    "TritonServer",
]
