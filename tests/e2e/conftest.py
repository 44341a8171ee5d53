"""The whole embedded stack, run as a user runs it: by the command, in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec.structs import replace

from deploy.demo import control
from deploy.demo.control import Control

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.prefix) / "bin" / "driftline"
PROFILE = PROJECT / "deploy" / "config" / "demo.yaml"


@dataclass(frozen=True)
class Machine:
    """One DRIFTLINE_HOME and the command on it."""

    home: Path

    @property
    def profile(self) -> Path:
        """The demonstration's profile, as a file that a test may change."""
        return self.home / "demo.yaml"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "DRIFTLINE_HOME": str(self.home), "NO_COLOR": "1"}

    def run(self, *words: str, expect: int | None = 0) -> Any:
        """A command with ``--json``; its data, after checking the exit code (None: any)."""
        done = subprocess.run(
            [COMMAND, "-c", self.profile, *words, "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        right = expect is None or done.returncode == expect
        assert right, f"{words}: {done.returncode}\n{done.stderr[-4000:]}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command with ``--json``, not waited for."""
        return subprocess.Popen(
            [COMMAND, "-c", self.profile, *words, "--json"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def demo(self, *words: str) -> subprocess.Popen[str]:
        """Start a demonstration that leaves the stack up."""
        with (self.home / "demo.log").open("w") as screen:
            return subprocess.Popen(
                [COMMAND, "-c", self.profile, "demo", "--keep", *words],
                env=self.environment,
                stdout=screen,
                stderr=screen,
                text=True,
            )

    def report(self) -> Any:
        """What the demonstration wrote."""
        return json.loads((self.home / "demo" / "report.json").read_text())

    def screen(self) -> str:
        """The end of what the demonstration showed."""
        return (self.home / "demo.log").read_text()[-6000:]

    def kill(self, process: str) -> None:
        """Kill -9 one supervised process, by the id that the supervisor wrote down."""
        os.kill(self.pid(process), signal.SIGKILL)

    def pid(self, process: str) -> int:
        """Of a supervised process, as the supervisor wrote it down."""
        file = self.home / "demo-stack" / "run" / f"{process}.json"
        return int(json.loads(file.read_text())["pid"])

    def kill_python_worker(self) -> None:
        """Kill -9 the Python worker that the pool started for the stream job."""
        for child in psutil.Process(self.pid("beam-workers")).children(recursive=True):
            os.kill(child.pid, signal.SIGKILL)

    def new_column(self) -> None:
        """Add an unannounced column to the events of a kept demonstration."""
        command = control.read(self._control_file, Control)
        assert command is not None
        control.write(self._control_file, replace(command, new_column=True))

    def wait(self, look: Callable[[], Any], *, seconds: float) -> Any:
        """The first value of `look` that is true."""
        deadline = time.time() + seconds
        while not (value := look()):
            assert time.time() < deadline, self.screen()
            time.sleep(2.0)
        return value

    def traffic_ends(self) -> None:
        """Let the traffic of a kept demonstration end by itself."""
        if self._control_file.exists():
            control.write(self._control_file, Control(phase="stop"))

    @property
    def _control_file(self) -> Path:
        return control.control_file(self.home / "demo")


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("home"))
    shutil.copy(PROFILE, machine.profile)
    yield machine
    machine.traffic_ends()
    subprocess.run(
        [COMMAND, "-c", machine.profile, "down", "--yes"],
        env=machine.environment,
        timeout=180,
        check=False,
    )


@pytest.fixture(scope="session")
def kept(machine: Machine) -> Machine:
    """A demonstration that has passed and left its stack and its traffic running."""
    if not (machine.home / "demo" / "report.json").exists():
        assert machine.demo().wait(timeout=1500) == 0, machine.screen()
    return machine
