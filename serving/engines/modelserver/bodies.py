"""Parses the bodies of REST requests; large ones in a process of their own.

A parser of JSON holds Python's lock until it is done, for seconds with 64 MiB, and no other request
would be answered meanwhile. The process has a lower priority and a limit on its memory, parses one
body at a time, and is ended when a body takes too long or was so large that its memory had better
be returned.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import Pipe
from typing import Any

import orjson

from serving.engines.modelserver import examples, rows
from serving.engines.modelserver.body_messages import TOO_MUCH, Refusal, unpacked
from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.log import log
from serving.engines.modelserver.protos import Input
from serving.engines.modelserver.rows import Arrays

LARGE_BYTES = 1 << 18
"""A smaller body is parsed in a few milliseconds, where it is."""
_LAST_BYTES = 8 << 20  # the process ends after a body of this size


class Parsed:
    """A body that was parsed here."""

    def __init__(self, body: rows.Body) -> None:
        self.signature, self.by_row = body.signature, body.by_row
        self._body = body

    def arrays(self, codes: Mapping[str, int]) -> Arrays:
        """The arrays of a predict request; see `rows.to_arrays`."""
        return rows.to_arrays(self._body, codes)

    def examples(self) -> Any:
        """The examples of a classify or regress request; see `examples.read_examples`."""
        return examples.read_examples(self._body)


class _ParsedThere(Parsed):
    """A body that the process has parsed and keeps until it is asked for its values."""

    def __init__(self, process: _Process, content: bytes | bytearray) -> None:
        self._process = process
        self.signature, self.by_row = process.ask(b"body", content)

    def arrays(self, codes: Mapping[str, int]) -> Arrays:
        return unpacked(self._process.ask(b"codes", orjson.dumps(dict(codes))))

    def examples(self) -> Any:
        return Input.FromString(self._process.ask(b"examples", b""))


class Bodies:
    """Parses the bodies of one server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: _Process | None = None

    @contextmanager
    def parsed(self, content: bytes | bytearray, *, seconds: float) -> Iterator[Parsed]:
        """A parsed body, within the block.

        Raises
        ------
        Refused
            INVALID_ARGUMENT with TF Serving's text; DEADLINE_EXCEEDED after `seconds`;
            RESOURCE_EXHAUSTED when a large body needs too much memory.
        """
        if len(content) <= LARGE_BYTES:
            yield Parsed(rows.parse(bytes(content)))
            return
        ends_at = time.monotonic() + seconds
        if not self._lock.acquire(timeout=seconds):
            raise _too_late()
        try:
            process = self._process or _Process()
            self._process = process
            process.ends_at = ends_at
            yield _ParsedThere(process, content)
        finally:
            if self._process is not None and (self._process.broken or len(content) >= _LAST_BYTES):
                self._process.end()
                self._process = None
            self._lock.release()


class _Process:
    """The process, and the connection to it."""

    def __init__(self) -> None:
        self._connection, other_end = Pipe()
        self.ends_at = 0.0
        self.broken = False
        command = [sys.executable, "-m", "serving.engines.modelserver.body_process"]
        self._process = subprocess.Popen(
            [*command, str(other_end.fileno())],
            pass_fds=(other_end.fileno(),),
            stdin=subprocess.DEVNULL,
        )
        other_end.close()

    def ask(self, kind: bytes, content: bytes | bytearray) -> Any:
        """Send a question; returns the answer."""
        try:
            self._connection.send_bytes(kind)
            self._connection.send_bytes(content)
            if not self._connection.poll(max(0.0, self.ends_at - time.monotonic())):
                self.broken = True
                raise _too_late()
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            self.broken = True
            log.warning("body.not_parsed", error=f"{type(error).__name__}: {error}")
            raise Refused(*TOO_MUCH) from error
        if isinstance(answer, Refusal):
            raise Refused(*answer)
        return answer

    def end(self) -> None:
        """End the process at once."""
        self._connection.close()
        self._process.kill()
        self._process.wait()


def _too_late() -> Refused:
    return Refused(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification")
