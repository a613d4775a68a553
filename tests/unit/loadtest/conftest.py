import io
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.clients.kserve_server import KServeServer

ROOT = Path(__file__).resolve().parents[3]

sys.path.insert(0, str(ROOT / "loadtest"))


@pytest.fixture
def server():
    """The client tests' real gRPC server with its toy model."""
    server = KServeServer()
    yield server
    server.stop()


@pytest.fixture
def post_rows(tmp_path) -> Path:
    """Six posts, four of them with an image, one of whose files is absent."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, "JPEG")
    (tmp_path / "images").mkdir()
    rows = []
    for i in range(6):
        image = f"images/{i}.jpg" if i < 4 else None
        if i < 3:
            (tmp_path / image).write_bytes(buffer.getvalue())
        rows.append({"id": i, "text": f"so Jordan {i}", "image": image})
    path = tmp_path / "posts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    return path
