"""Tells open pages that something changed: the feeder's thread publishes, pages wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

QUIET_SECONDS = 0.4
"""Least time between two messages to a page; a burst of records redraws it once."""
HEARTBEAT_SECONDS = 15.0
"""Interval of comments on an idle connection, so that proxies and browsers keep it open."""


class Live:
    """Revisions of the projection, for any number of waiting pages."""

    def __init__(self) -> None:
        self.revision = 0
        self._changed_at: dict[str, int] = {}
        self._waiting: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def bind(self) -> None:
        """Take the running event loop; called once when the server starts."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """End every waiting page's stream, so that the server can stop; called in its loop."""
        self._closed = True
        for event in self._waiting:
            event.set()

    def publish(self, models: frozenset[str]) -> None:
        """Records of these models are new; may be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._publish, models)

    def _publish(self, models: frozenset[str]) -> None:
        self.revision += 1
        for model in models:
            self._changed_at[model] = self.revision
        for event in self._waiting:
            event.set()

    def _newest(self, model: str) -> int:
        return self._changed_at.get(model, 0) if model else self.revision

    async def revisions(self, model: str, since: int | None = None) -> AsyncIterator[int | None]:
        """Each new revision that concerns a model, or any; None as a sign of life.

        Parameters
        ----------
        model:
            Name of a model; empty for all.
        since:
            The last revision that the page knows; None for the present one.
        """
        known = self._newest(model) if since is None else since
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            while not self._closed:
                newest = self._newest(model)
                if newest != known:
                    known = newest
                    yield newest
                    await asyncio.sleep(QUIET_SECONDS)
                    continue
                changed.clear()
                try:
                    await asyncio.wait_for(changed.wait(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield None
        finally:
            self._waiting.discard(changed)
