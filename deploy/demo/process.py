"""Starts the traffic process and controls it through its files."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from deploy.app.child_process import end_process
from deploy.config.paths import PROJECT
from deploy.demo import control
from deploy.demo.control import Control, Second, TrafficConfig, TrafficPhase, TrafficStatus
from retrain.engines.tied_process import tied
from streaming.contracts.errors import PermanentError

TERMINATE_SECONDS = 45.0


class TrafficProcess:
    """`TrafficControl` over a real process; its output goes to `log`."""

    def __init__(self, folder: Path, log: Path) -> None:
        self._folder = folder
        self._log = log
        self._control = Control()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process; 0 before `start`."""
        return self._process.pid if self._process else 0

    def start(self, config: TrafficConfig, phase: TrafficPhase = "ordinary") -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        control.status_file(self._folder).unlink(missing_ok=True)
        control.seconds_file(self._folder).unlink(missing_ok=True)
        self._write(Control(phase=phase))
        file = self._folder / "traffic.json"
        control.write(file, config)
        command = [sys.executable, "-m", "deploy.demo.traffic", "--config", str(file)]
        if not config.kept:
            command = tied(command, by=signal.SIGTERM)
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=PROJECT, stdout=output, stderr=output, start_new_session=True
            )

    def switch(self, phase: TrafficPhase) -> None:
        self._write(msgspec.structs.replace(self._control, phase=phase))

    def predict(self) -> None:
        self._write(msgspec.structs.replace(self._control, predict=True))

    def add_column(self) -> None:
        self._write(msgspec.structs.replace(self._control, new_column=True))

    def status(self) -> TrafficStatus | None:
        status = control.read(control.status_file(self._folder), TrafficStatus)
        ended = self._process is not None and self._process.poll() is not None
        if ended and not (status and status.finished):
            raise PermanentError(f"The traffic process has died; see {self._log}.")
        return status

    def seconds(self) -> list[Second]:
        file = control.seconds_file(self._folder)
        if not file.exists():
            return []
        lines = file.read_bytes().splitlines()
        return [msgspec.json.decode(line, type=Second) for line in lines if line.endswith(b"}")]

    def close(self) -> None:
        """End the process by SIGTERM, and by SIGKILL if that takes too long."""
        if self._process is not None:
            end_process(self._process, TERMINATE_SECONDS)

    def _write(self, desired: Control) -> None:
        self._control = desired
        control.write(control.control_file(self._folder), desired)
