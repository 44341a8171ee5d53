"""For how long a thread keeps Python's lock while others wait for it.

Short turns let a request through beside Python code that takes long: a load, or a hostile request.
Each end of a turn costs two changes of threads, a tenth of a small request over gRPC, so turns are
short only while there is such code.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

SHORT_SECONDS = 0.0001
"""Longest time for which other Python code keeps a request waiting, several times for each."""
USUAL_SECONDS = 0.005
"""Python's own default."""


class Turns:
    """The length of the turns of a process, and how many need short ones. Safe for threads.

    Parameters
    ----------
    set_seconds:
        Sets the length.
    """

    def __init__(self, set_seconds: Callable[[float], None] = sys.setswitchinterval) -> None:
        self._set_seconds, self._lock, self._users = set_seconds, threading.Lock(), 0

    def change(self, by: int) -> None:
        """More users need short turns, or fewer."""
        with self._lock:
            self._users += by
            self._set_seconds(SHORT_SECONDS if self._users else USUAL_SECONDS)


_OF_THE_PROCESS = Turns()


class ShortTurns:
    """Turns are short from `begin` to `end`, or within a ``with`` block; the last of several users
    ends them. One thread uses it."""

    def __init__(self, turns: Turns = _OF_THE_PROCESS) -> None:
        self._turns, self.begun = turns, False

    def begin(self) -> None:
        """Make turns short; a second call changes nothing."""
        if not self.begun:
            self.begun = True
            self._turns.change(1)

    def end(self) -> None:
        """No longer need short turns; a second call changes nothing."""
        if self.begun:
            self.begun = False
            self._turns.change(-1)

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, *_: object) -> None:
        self.end()
