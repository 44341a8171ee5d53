"""The clients of a served model: what they count as an error."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.demo.clients import Clients, PredictRequest, RequestCounter
from streaming.contracts.errors import PermanentError, UnavailableError


async def _counted(failure: Exception | None) -> RequestCounter:
    """The counts after ten good responses, each of which `on_response` receives."""

    async def predict(_: web.Request) -> web.Response:
        return web.Response(body=b"{}", headers={"x-model-version": "3"})

    versions: list[int] = []

    def on_response(_request: PredictRequest, version: int, _body: bytes) -> None:
        versions.append(version)
        if failure is not None:
            raise failure

    app = web.Application()
    app.add_routes([web.post("/", predict)])
    async with TestServer(app) as server:
        clients = Clients(
            str(server.make_url("/")),
            rate=200,
            next_request=lambda: PredictRequest("key", 1.0, b"{}"),
            users=3,
            on_response=on_response,
        )
        clients.sending = True
        running = asyncio.create_task(clients.run())
        while clients.counter.requests < 10:
            await asyncio.sleep(0.01)
        await clients.drain()
        running.cancel()
    assert set(versions) == {3}
    return clients.counter


def test_good_responses_are_no_errors() -> None:
    counter = asyncio.run(_counted(None))
    assert (counter.errors, counter.first_error) == (0, "")


@pytest.mark.parametrize("failure", [PermanentError("no prediction"), UnavailableError("no Kafka")])
def test_a_response_that_cannot_be_used_counts_as_an_error(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    counter = asyncio.run(_counted(failure))
    assert counter.errors == counter.requests >= 10
    assert counter.first_error == str(failure)
    assert not caplog.records, "nothing is left to asyncio's log, which fills a pipe nobody reads"
