"""Starts Driftline's model server for the retrain worker's serving check."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from deploy.config.model_server import allow_operations
from deploy.config.paths import PROJECT
from retrain.ports import ServerCommand


class DriftlineModelServer:
    """Implements `retrain.ports.ModelServerLauncher` with ``serving.engines.modelserver``.

    Parameters
    ----------
    allowed_operations:
        Operations that a graph may contain beside the usual ones, as for the servers of the stack:
        what they would refuse fails the check.
    """

    def __init__(self, allowed_operations: Sequence[str] = ()) -> None:
        self._allowed_operations = tuple(allowed_operations)

    def command(self) -> ServerCommand:
        """The command that serves one model in this Python environment."""
        path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
        return ServerCommand(
            arguments=(
                sys.executable, "-m", "serving.engines.modelserver", "--role", "check",
                "--load-priority", "usual",
                "--model-name", "{model}", "--base-path", "{base_path}",
                "--grpc-port", "{grpc_port}", "--rest-port", "{rest_port}",
                *allow_operations(self._allowed_operations),
            ),
            environment={"PYTHONPATH": path},
        )  # fmt: skip
