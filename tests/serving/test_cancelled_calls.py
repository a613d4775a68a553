"""Tasks that give up waiting leave the server alone: cancelled calls would crash this release."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

from mqspn.serving import ServerSettings, TritonServer
from mqspn_client import AsyncClient, Prediction

ROOT = Path(__file__).resolve().parents[2]
TEXT = "Taylor Swift is on tour"


async def _give_up(url: str, chooser: random.Random) -> int:
    """Cancel each of some calls at any moment of its way; how many were cancelled."""

    async def call(client: AsyncClient) -> bool:
        try:
            await asyncio.wait_for(client.predict(TEXT), chooser.uniform(0.001, 0.1))
        except asyncio.TimeoutError:
            return True
        return False

    async with AsyncClient(url) as client:
        return sum(await asyncio.gather(*(call(client) for _ in range(8))))


def test_a_server_outlives_cancelled_tasks(
    settings: Callable[..., ServerSettings], tmp_path: Path
) -> None:
    async def main(url: str) -> Prediction:
        chooser = random.Random(1)
        assert sum([await _give_up(url, chooser) for _ in range(20)]) > 20
        async with AsyncClient(url) as client:
            return await client.predict(TEXT)

    log_file = tmp_path / "server.log"
    with TritonServer(settings(ROOT / "model_repository", log_file=log_file)) as server:
        prediction = asyncio.run(main(server.url))
        assert server.running
    assert [entity.text for entity in prediction.entities] == ["Taylor Swift"]
