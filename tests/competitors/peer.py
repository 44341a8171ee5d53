"""A worker inside a peer's environment, from the outside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.config.paths import PROJECT
from deploy.setup.environment import clean_environment
from tests.competitors.install import environment
from tests.competitors.workers.wire import Arrays, Message, receive, send
from tests.subprocess_pipe import Piped


class Peer(Piped):
    """One process of `tests.competitors.workers.NAME`; it ends with the `with` block.

    Parameters
    ----------
    name:
        Of the peer: `evidently` or `river`.
    log:
        Where its stderr goes.
    """

    def __init__(self, name: str, log: Path) -> None:
        # -P keeps the present folder off the path, so the project's is given
        super().__init__(
            [str(environment(name)), "-P", "-m", f"tests.competitors.workers.{name}"],
            log,
            {**clean_environment(), "PYTHONPATH": str(PROJECT)},
        )

    def ask(self, head: Mapping[str, Any], arrays: Arrays) -> Message:
        """One question and its answer.

        Raises
        ------
        RuntimeError
            When the worker ended.
        """
        try:
            send(self._input, head, arrays)  # type: ignore[arg-type]
            answer = receive(self._output)  # type: ignore[arg-type]
        except BrokenPipeError:
            answer = None
        if answer is None:
            raise RuntimeError(f"The worker ended; its log {self._log} tells why.")
        return answer
