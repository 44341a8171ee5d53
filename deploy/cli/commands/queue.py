"""`driftline queue`: the retrains that are queued or running, and what each waits for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from deploy.cli.shared.command import Json, command
from deploy.config.units import format_time
from deploy.views.output import outcome_text, show_json, stderr, stdout, table
from streaming.contracts.records import (
    ModelVersion,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
)

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from retrain.queue import QueuedRetrain
    from streaming.contracts.log import RecordLog


CLAIMS_SECONDS = 300.0
"""How far back claims are read; a worker renews its own every few seconds."""


@command
def queue(deployment: Deployment, json: Json = False) -> None:
    """Show the retrains that are queued or running, and what each of them waits for.

    Retrains of different models run side by side, as many as there are workers.
    `driftline retrain MODEL --cancel` ends one.

    Example: `driftline queue --json`
    """
    with deployment.log() as log:
        queued = read_queue(log, now=time.time())
    if json:
        show_json(queued)
        return
    if not queued:
        stderr.print("No retrain is queued or running.")
        return
    columns = ("model", "state", "cause", "requested", "deadline", ">attempt", "worker")
    shown = table("retrains", *columns, "waits for")
    for entry in queued:
        shown.add_row(
            entry.model,
            outcome_text(entry.state),
            entry.cause,
            format_time(entry.since),
            format_time(entry.deadline),
            str(entry.attempt) if entry.attempt else "–",
            entry.worker or "–",
            entry.waits_for,
        )
    stdout.print(shown)


def read_queue(log: RecordLog, *, now: float) -> tuple[QueuedRetrain, ...]:
    """The queue as the log tells it."""
    from deploy.records import reader
    from retrain.claims import claims_on
    from retrain.queue import queue_of

    ended = {failure.request_id for failure in reader.stream(log, RetrainFailure)}
    ended |= {version.request_id for version in reader.stream(log, ModelVersion)}
    progress = reader.stream(log, RetrainProgress)
    holders = claims_on(log, since=now - CLAIMS_SECONDS).holders
    return queue_of(reader.stream(log, RetrainRequest), progress, ended, now, holders)
