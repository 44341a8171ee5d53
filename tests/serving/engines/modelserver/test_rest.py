"""Limits on the bodies of REST requests; they hold before a model is looked up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from serving.engines.modelserver import rest
from serving.engines.modelserver.faults import Faults
from serving.engines.modelserver.service import Service
from tests.free_ports import free_port

BODY = b'{"instances": [1]}'


@asynccontextmanager
async def _client(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server without versions, in this process."""
    port = free_port()
    service = Service(faults=Faults(None))
    server = rest.serve(service, "127.0.0.1", port, workers=1, head_seconds=5)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        await asyncio.to_thread(server.stop, 1.0)


async def _parts(*parts: bytes, wait: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    for position, part in enumerate(parts):
        if position and wait is not None:
            await wait.wait()
        yield part


def test_all_bodies_together_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "MAX_HELD_BYTES", 1_000)

    async def send() -> list[int]:
        async with _client(tmp_path) as client:
            go_on = asyncio.Event()
            content = _parts(b" " * 600, BODY, wait=go_on)
            first = asyncio.create_task(client.post("/v1/models/m:predict", content=content))
            second = await client.post("/v1/models/m:predict", content=BODY + b" " * 100)
            while second.status_code != 429:  # until the first one has been read so far
                second = await client.post("/v1/models/m:predict", content=b" " * 500)
                await asyncio.sleep(0.01)
            go_on.set()
            answers = [second, await first, await client.post("/v1/models/m:predict", content=BODY)]
            assert "more than 1,000 bytes" in answers[0].json()["error"]
            return [answer.status_code for answer in answers]

    assert asyncio.run(send()) == [429, 404, 404]  # 404: the model has no version


@pytest.mark.parametrize("chunked", [False, True])
def test_one_body_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    monkeypatch.setattr(rest, "MAX_BYTES", 100)

    async def send() -> httpx.Response:
        async with _client(tmp_path) as client:
            content = _parts(b" " * 60, b" " * 60) if chunked else b" " * 120
            return await client.post("/v1/models/m:predict", content=content)

    response = asyncio.run(send())
    assert (response.status_code, response.json()) == (
        413,
        {"error": "The body has more than 100 bytes."},
    )
