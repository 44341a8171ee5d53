"""Runs `driftline demo` on the scripted system, with libraries that write to stderr.

``python -m tests.deploy.demo.scripted_demo FOLDER``; the tests run it as a process of its own.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from deploy.app.deployment import Deployment
from deploy.config import loader
from deploy.demo import embedded
from deploy.demo.control import TrafficConfig, TrafficPhase
from tests.deploy.demo.scripted_system import ScriptedSystem, SystemTraffic

NOISE = ("%3|17|FAIL|rdkafka", "absl::InitializeLog", "crcmod", "FutureWarning", "child process")
"""Texts that must not reach the screen."""


def write_noise() -> None:
    """Write to stderr in the ways that libraries use."""
    os.write(2, b"%3|17|FAIL|rdkafka#consumer-1| [thrd:x]: Connection refused\n")
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called\n")
    logging.getLogger().warning("crcmod package not found. This package is required")
    warnings.warn_explicit("grpcio < 1.83.0", FutureWarning, "grpc.py", 1, "google.auth.transport")
    subprocess.run(["/bin/sh", "-c", "echo child process >&2"], check=True)


class NoisyTraffic(SystemTraffic):
    """The scripted traffic as a process that can be closed."""

    def start(self, config: TrafficConfig, phase: TrafficPhase = "ordinary") -> None:
        write_noise()
        super().start(config, phase)

    def close(self) -> None:
        return None


class NoisySystem(ScriptedSystem):
    """The scripted system; its log files are in `folder`."""

    folder = Path()

    def up(self, on_progress: Callable[[str], None]) -> None:
        write_noise()
        super().up(on_progress)

    def log_file(self, process: str) -> Path:
        return self.folder / "log" / f"{process}.log"


def main(folder: Path) -> None:
    """Run the scenario `shift` with `folder` as DRIFTLINE_HOME."""
    os.environ["DRIFTLINE_HOME"] = str(folder)
    NoisySystem.folder = folder
    system = NoisySystem()
    traffic = system.traffic = NoisyTraffic(system)
    vars(embedded).update(
        EmbeddedSystem=lambda deployment: system,
        TrafficProcess=lambda *files: traffic,
        SystemClock=lambda: system.clock,
    )
    deployment = Deployment.load(Path(loader.__file__).with_name("demo.yaml"))
    report = embedded.run(deployment, scenario="shift", data=None, keep=False)
    os.write(2, b"stderr is restored\n")
    sys.exit(0 if report.outcome == "passed" else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
