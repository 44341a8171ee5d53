"""A measured process that exchanges JSON lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypeVar

import msgspec

from tests.subprocess_pipe import SubprocessPipe

T = TypeVar("T")


class Child(SubprocessPipe):
    """``python -m MODULE``."""

    def __init__(self, module: str, log: Path) -> None:
        super().__init__([sys.executable, "-m", module], log)

    def send_line(self, value: object) -> None:
        """Send one line."""
        self._input.write(msgspec.json.encode(value) + b"\n")
        self._input.flush()

    def receive_line(self, kind: type[T]) -> T:
        """The next line, decoded from JSON as this type."""
        return msgspec.json.decode(self._line(), type=kind)

    def wait_ready(self) -> None:
        """Wait for the line ``ready``."""
        while self._line().strip() != b"ready":
            pass

    def _line(self) -> bytes:
        line = self._output.readline()
        if not line:
            raise RuntimeError(f"The process ended; see its log {self._log}.")
        return line
