"""A measured process that is spoken to in JSON lines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from deploy.configuration import PROJECT

T = TypeVar("T")


class Child:
    """``python -m MODULE``; whatever it says on stderr goes to `log`."""

    def __init__(self, module: str, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tell(self, value: object) -> None:
        """Send one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(value) + b"\n")
        self._process.stdin.flush()

    def hear(self, kind: type[T]) -> T:
        """The next line that is JSON of this kind."""
        return msgspec.json.decode(self._line(), type=kind)

    def ready(self) -> None:
        """Wait for the line ``ready``."""
        while self._line().strip() != b"ready":
            pass

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The process ended; its log {self._log} tells why.")
        return line
