"""Which commands work through the API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from deploy.cli.remote import commands, experiment_commands
from deploy.cli.remote.client import ApiClient
from streaming.contracts.errors import ConfigurationError

Remote = Callable[[ApiClient, Mapping[str, Any]], None]

COMMANDS: Mapping[str, Remote] = {
    "models": commands.models,
    "versions": commands.versions,
    "trace": commands.trace,
    "retrain": commands.retrain,
    "rollout status": commands.rollout_status,
    "rollout approvals": commands.approvals,
    "rollout approve": commands.approve,
    "rollout reject": commands.reject,
    "experiment start": experiment_commands.start,
    "experiment status": experiment_commands.status,
    "experiment stop": experiment_commands.stop,
    "experiment list": experiment_commands.listed,
    **{
        f"rollout {action}": commands.control(action)
        for action in ("pause", "resume", "promote", "abort", "rollback", "retry")
    },
}


def run_remotely(
    path: str, server: str, token_file: Path | None, arguments: Mapping[str, Any]
) -> None:
    """Run a command through the API of a console.

    Parameters
    ----------
    path:
        The command with its groups, for example ``rollout approve``.

    Raises
    ------
    ConfigurationError
        When the command works on this machine only, or address or token cannot be used.
    """
    remote = COMMANDS.get(path)
    if remote is None:
        raise ConfigurationError(
            f"`driftline {path}` works on this machine's stack only. With --server these do: "
            f"{', '.join(COMMANDS)}."
        )
    with closing(ApiClient(server, token_file)) as client:
        remote(client, arguments)
