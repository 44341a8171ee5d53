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


def exit_on_sigterm() -> None:
    """Let SIGTERM raise `SystemExit`, so that what is open is closed.

    A uvicorn server that was ended by a signal raises it again afterwards; by default that would
    end the process there, before anything else is closed.
    """

    def leave(number: int, frame: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
