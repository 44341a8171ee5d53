"""The installer's output: plain lines, and progress while a step takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

LINE_SECONDS = 5.0
"""Time between two lines of progress where there is no terminal."""
REDRAW_SECONDS = 0.2
"""Time between two updates on a terminal."""


class SetupFailed(Exception):
    """A step cannot work; the message states the problem and what to do."""


def show_line(line: str) -> None:
    """Print one line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Progress:
    """Shows the state of a step: redrawn on a terminal, a line every few seconds elsewhere.

    >>> import io
    >>> out = io.StringIO()
    >>> times = iter([0.0, 1.0, 6.0])
    >>> progress = Progress(out, clock=lambda: next(times))
    >>> progress.update("10 of 20"), progress.update("15 of 20")
    (None, None)
    >>> out.getvalue()
    '    15 of 20 (6 s)\\n'
    """

    def __init__(
        self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stdout
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._started = self._shown = clock()

    def update(self, text: str | Callable[[], str]) -> None:
        """Show the state, unless it was shown a moment ago; a function is called only then."""
        now = self._clock()
        if now - self._shown < (REDRAW_SECONDS if self._terminal else LINE_SECONDS):
            return
        self._shown = now
        state = text if isinstance(text, str) else text()
        line = f"    {state} ({now - self._started:.0f} s)"
        self._stream.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        """Remove the line from a terminal."""
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
