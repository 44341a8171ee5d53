"""For how long a thread keeps Python's lock while others wait for it.

Short turns let a request through beside Python code that takes long: a load, or a hostile request.
Each end of a turn costs two changes of threads, a tenth of a small request over gRPC, so turns are
short only while there is such code.
"""

from __future__ import annotations

import sys
import threading

SHORT_SECONDS = 0.0001
USUAL_SECONDS = 0.005
"""Python's own default."""


class ShortTurns:
    """Turns are short from `begin` to `end`, or within a ``with`` block; of several users the last
    one ends them. Safe for threads."""

    _lock = threading.Lock()
    _users = 0

    def __init__(self) -> None:
        self._begun = False

    def begin(self) -> None:
        """Make turns short; a second call changes nothing."""
        self._count(begun=True)

    def end(self) -> None:
        """No longer need short turns; a second call changes nothing."""
        self._count(begun=False)

    def _count(self, *, begun: bool) -> None:
        with ShortTurns._lock:
            ShortTurns._users += int(begun) - int(self._begun)
            self._begun = begun
            sys.setswitchinterval(SHORT_SECONDS if ShortTurns._users else USUAL_SECONDS)

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, *_: object) -> None:
        self.end()
