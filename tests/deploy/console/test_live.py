"""Open pages learn within a second that records came, and only about their own model."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from deploy.console.live import Live
from deploy.console.server import Feeder
from deploy.projection.writer import ProjectionWriter
from streaming.contracts import topics
from tests.deploy.console.test_decisions import PausingLog
from tests.deploy.projection.builders import verdict


async def first(live: Live, model: str) -> int | None:
    async for revision in live.revisions(model):
        return revision
    return None


def test_a_page_hears_of_its_own_model_only() -> None:
    async def run() -> tuple[int | None, bool]:
        live = Live()
        live.bind()
        own = asyncio.create_task(first(live, "a"))
        other = asyncio.create_task(first(live, "b"))
        await asyncio.sleep(0)
        live.publish(frozenset({"a"}))
        revision = await asyncio.wait_for(own, 5.0)
        heard = other.done()
        other.cancel()
        return revision, heard

    assert asyncio.run(run()) == (1, False)


def test_a_record_on_the_log_reaches_a_page_within_a_second(tmp_path: Path) -> None:
    log = PausingLog()
    log.ensure(topics.RECORD_TOPICS)
    log.append([verdict(1)])

    async def run() -> float:
        from deploy.console.context import Feed

        live, feed = Live(), Feed()
        live.bind()
        feeder = Feeder(log, ProjectionWriter(tmp_path), feed, live)
        feeder.start()
        try:
            while not feed.read:
                await asyncio.sleep(0.01)
            page = asyncio.create_task(first(live, "m"))
            await asyncio.sleep(0)
            begun = time.monotonic()
            log.append([verdict(2)])
            await asyncio.wait_for(page, 10.0)
            return time.monotonic() - begun
        finally:
            await asyncio.to_thread(feeder.stop)

    assert asyncio.run(run()) < 1.0


def test_many_records_redraw_a_page_once() -> None:
    async def run() -> list[int | None]:
        live = Live()
        live.bind()
        revisions: list[int | None] = []

        async def page() -> None:
            async for revision in live.revisions(""):
                revisions.append(revision)
                if len(revisions) == 2:
                    return

        task = asyncio.create_task(page())
        await asyncio.sleep(0)
        for _ in range(50):
            live.publish(frozenset({"a"}))
        while len(revisions) < 1:
            await asyncio.sleep(0)
        for _ in range(50):
            live.publish(frozenset({"a"}))
        await asyncio.wait_for(task, 5.0)
        return revisions

    first_seen, second_seen = asyncio.run(run())
    assert second_seen == 100
    assert first_seen is not None
    assert first_seen <= 50
