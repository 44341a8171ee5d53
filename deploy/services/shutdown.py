"""A polite end: SIGTERM and SIGINT set a flag that the long-running services look at."""

from __future__ import annotations

import signal
from types import FrameType


class Stop:
    """Set by SIGTERM or SIGINT; whoever runs finishes what it does first."""

    def __init__(self) -> None:
        self.wanted = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._want)

    def __call__(self) -> bool:
        return self.wanted

    def _want(self, number: int, frame: FrameType | None) -> None:
        self.wanted = True
