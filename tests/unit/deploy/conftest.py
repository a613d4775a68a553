"""The Dockerfile's stages."""

from __future__ import annotations

import pytest

from tests.dockerfile import Stage, read_stages


@pytest.fixture(scope="session")
def stages() -> dict[str, Stage]:
    return read_stages()
