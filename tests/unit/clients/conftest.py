import io

import pytest
from PIL import Image

from tests.unit.clients.kserve_server import KServeServer


@pytest.fixture
def server():
    """A real gRPC server with the toy model."""
    server = KServeServer()
    yield server
    server.stop()


@pytest.fixture
def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 80, 20)).save(buffer, "PNG")
    return buffer.getvalue()
