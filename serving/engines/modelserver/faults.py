"""Fault injection, for tests and the slow-canary scenario only.

Off unless the server is started with ``--fault-file``. The file is JSON and is read again when it
changes, so a running server can be slowed down and restored::

    {"latency_ms": 300, "error_ratio": 0.1, "load_ms": 2000}
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.log import log


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The faults to inject; zeros inject nothing."""

    latency_ms: float = 0.0
    error_ratio: float = 0.0
    load_ms: float = 0.0


_NONE = Fault()
_READ_INTERVAL_SECONDS = 0.1


class Faults:
    """The current faults; none without a file.

    Parameters
    ----------
    path:
        The fault file.
    clock:
        Monotonic seconds, for the interval between reads.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._fault = _NONE
        self._stamp: tuple[int, int] | None = None
        self._read_at = -_READ_INTERVAL_SECONDS
        self._lock = threading.Lock()

    def now(self) -> Fault:
        """The file's content, or the last readable content while the file is being written."""
        if self.path is None:
            return _NONE
        with self._lock:
            if self._clock() - self._read_at >= _READ_INTERVAL_SECONDS:
                self._read_at = self._clock()
                self._read(self.path)
            return self._fault

    def _read(self, path: Path) -> None:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return
            self._fault = msgspec.json.decode(path.read_bytes(), type=Fault)
        except FileNotFoundError:
            stamp, self._fault = (0, 0), _NONE
        except (OSError, msgspec.DecodeError) as error:
            log.warning("fault_file.unreadable", path=str(path), error=str(error))
            return
        if stamp != self._stamp:
            self._stamp = stamp
            log.info("faults.changed", **msgspec.to_builtins(self._fault))


def inject_error(fault: Fault) -> None:
    """Raise UNAVAILABLE for the configured share of the requests."""
    if fault.error_ratio > 0 and random.random() < fault.error_ratio:  # noqa: S311 - no secret
        raise Refused(Code.UNAVAILABLE, "Refused by the injected fault.")
