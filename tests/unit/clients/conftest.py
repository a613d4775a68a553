import io
import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from kserve_server import KServeServer


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
