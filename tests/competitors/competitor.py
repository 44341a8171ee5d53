"""Client of a worker process that runs inside a competitor's environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.config.paths import PROJECT
from deploy.setup.environment import clean_environment
from tests.competitors.install import environment
from tests.competitors.workers.wire import Arrays, Message, receive, send
from tests.subprocess_pipe import SubprocessPipe


class Competitor(SubprocessPipe):
    """One process of `tests.competitors.workers.NAME`; it ends with the `with` block.

    Parameters
    ----------
    name:
        The competitor: `evidently` or `river`.
    log:
        File for the worker's stderr.
    """

    def __init__(self, name: str, log: Path) -> None:
        # -P keeps the current folder off the path, so the project's folder is passed explicitly.
        super().__init__(
            [str(environment(name)), "-P", "-m", f"tests.competitors.workers.{name}"],
            log,
            {**clean_environment(), "PYTHONPATH": str(PROJECT)},
        )

    def request(self, head: Mapping[str, Any], arrays: Arrays) -> Message:
        """Send one request and wait for its response.

        Raises
        ------
        RuntimeError
            When the worker ended.
        """
        try:
            send(self._input, head, arrays)  # type: ignore[arg-type]
            response = receive(self._output)  # type: ignore[arg-type]
        except BrokenPipeError:
            response = None
        if response is None:
            raise RuntimeError(f"The worker ended; see its log {self._log}.")
        return response
