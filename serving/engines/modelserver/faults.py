"""Faults on purpose, for tests and the slow-canary scenario only.

Off unless the server is started with ``--fault-file``. The file is JSON, read again when it
changes, so a running server can be made slow and quick again::

    {"latency_ms": 300, "error_ratio": 0.1, "load_ms": 2000}
"""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import msgspec

from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.log import say


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do wrong; zeros do nothing."""

    latency_ms: float = 0.0
    error_ratio: float = 0.0
    load_ms: float = 0.0


_NONE = Fault()
_LOOK_EVERY_SECONDS = 0.1


class Faults:
    """The faults wanted now; none without a file."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._fault = _NONE
        self._stamp: tuple[int, int] | None = None
        self._looked = 0.0
        self._lock = threading.Lock()

    def now(self) -> Fault:
        """The file's content; the last readable one while it is being written."""
        if self.path is None:
            return _NONE
        with self._lock:
            if time.monotonic() - self._looked >= _LOOK_EVERY_SECONDS:
                self._looked = time.monotonic()
                self._look(self.path)
            return self._fault

    def _look(self, path: Path) -> None:
        try:
            found = path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            if stamp == self._stamp:
                return
            self._fault = msgspec.json.decode(path.read_bytes(), type=Fault)
        except FileNotFoundError:
            stamp, self._fault = (0, 0), _NONE
        except (OSError, msgspec.DecodeError) as error:
            say("fault-file-unreadable", path=str(path), error=str(error))
            return
        if stamp != self._stamp:
            self._stamp = stamp
            say("faults", **msgspec.to_builtins(self._fault))


def refuse_some(fault: Fault) -> None:
    """Raise UNAVAILABLE for the wanted share of the requests."""
    if fault.error_ratio > 0 and random.random() < fault.error_ratio:  # noqa: S311 - no secret
        raise Refused(Code.UNAVAILABLE, "Refused on purpose by the fault file.")
