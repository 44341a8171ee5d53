"""Runs the console beside a demonstration that waits for a person."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from deploy.app.child_process import end_process
from deploy.config.paths import PROJECT
from deploy.demo.process import TERMINATE_SECONDS
from retrain.engines.tied_process import tied
from streaming.contracts.errors import PermanentError

START_SECONDS = 120.0
_POLL_SECONDS = 0.2


class ConsoleProcess:
    """`driftline console` as a process of its own.

    Parameters
    ----------
    config:
        The demonstration's profile.
    address:
        Where it will answer.
    log:
        File for its output.
    """

    def __init__(self, config: Path, address: str, log: Path) -> None:
        self._config, self._address, self._log = config, address, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises
        ------
        PermanentError
            When it ends, or does not answer in time.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "deploy.cli.main", "-c", str(self._config), "console"]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                tied(command), cwd=PROJECT, stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None:
                raise PermanentError(f"The console ended at its start; see {self._log}.")
            if time.monotonic() > deadline:
                raise PermanentError(f"The console does not answer; see {self._log}.")
            time.sleep(_POLL_SECONDS)

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self._address}/health", timeout=5.0) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def close(self) -> None:
        """End it by SIGTERM, and by SIGKILL if that takes too long."""
        if self._process is not None:
            end_process(self._process, TERMINATE_SECONDS)
