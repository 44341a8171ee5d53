"""Starts Driftline's model server for the retrain worker's serving check."""

from __future__ import annotations

import os
import sys

from deploy.config.paths import PROJECT
from retrain.ports import ServerCommand


class DriftlineModelServer:
    """Implements `retrain.ports.ModelServerLauncher` with ``serving.engines.modelserver``."""

    def command(self) -> ServerCommand:
        """The command that serves one model in this Python environment."""
        path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
        return ServerCommand(
            arguments=(
                sys.executable, "-m", "serving.engines.modelserver", "--role", "check",
                "--model-name", "{model}", "--base-path", "{base_path}",
                "--grpc-port", "{grpc_port}", "--rest-port", "{rest_port}",
            ),
            environment={"PYTHONPATH": path},
        )  # fmt: skip
