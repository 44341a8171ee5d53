"""A worker inside a peer's environment, from the outside."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deploy.setup.environment import clean_environment
from deploy.setup.places import PROJECT
from tests.peers.install import environment
from tests.peers.workers.wire import Arrays, Message, receive, send


class Peer:
    """One process of `tests.peers.workers.NAME`; it ends with the `with` block.

    Parameters
    ----------
    name:
        Of the peer: `evidently` or `river`.
    log:
        Where its stderr goes.
    """

    def __init__(self, name: str, log: Path) -> None:
        python = environment(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        # -P keeps the present folder off the path, so the project's is given
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [str(python), "-P", "-m", f"tests.peers.workers.{name}"],
                cwd=PROJECT,
                env={**clean_environment(), "PYTHONPATH": str(PROJECT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def ask(self, head: Mapping[str, Any], arrays: Arrays) -> Message:
        """One question and its answer.

        Raises
        ------
        RuntimeError
            When the worker ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            send(self._process.stdin, head, arrays)  # type: ignore[arg-type]
            answer = receive(self._process.stdout)  # type: ignore[arg-type]
        except BrokenPipeError:
            answer = None
        if answer is None:
            raise RuntimeError(f"The worker ended; its log {self._log} tells why.")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
