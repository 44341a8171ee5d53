"""Graceful shutdown: SIGTERM and SIGINT set a flag that the services poll."""

from __future__ import annotations

import signal
from types import FrameType


class ShutdownFlag:
    """True once SIGTERM or SIGINT came; the service finishes its current step first."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request)

    def __call__(self) -> bool:
        return self.requested

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
