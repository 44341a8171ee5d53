"""A measured process that is spoken to in JSON lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypeVar

import msgspec

from tests.subprocess_pipe import Piped

T = TypeVar("T")


class Child(Piped):
    """``python -m MODULE``."""

    def __init__(self, module: str, log: Path) -> None:
        super().__init__([sys.executable, "-m", module], log)

    def tell(self, value: object) -> None:
        """Send one line."""
        self._input.write(msgspec.json.encode(value) + b"\n")
        self._input.flush()

    def hear(self, kind: type[T]) -> T:
        """The next line that is JSON of this kind."""
        return msgspec.json.decode(self._line(), type=kind)

    def ready(self) -> None:
        """Wait for the line ``ready``."""
        while self._line().strip() != b"ready":
            pass

    def _line(self) -> bytes:
        line = self._output.readline()
        if not line:
            raise RuntimeError(f"The process ended; its log {self._log} tells why.")
        return line
