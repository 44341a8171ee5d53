"""Reads what the log knows of one model; a daemon that starts reads it before anything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from deploy.records.reader import records, stream
from serving.recovery import RolloutHistory
from streaming.contracts.log import RecordLog
from streaming.contracts.records import (
    ApprovalOutcome,
    ApprovalRequest,
    CommandReply,
    ExperimentStatus,
    ModelVersion,
    Promotion,
    RolloutStatus,
    SchemaVersion,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHistory:
    """What the log knows of one model."""

    rollouts: RolloutHistory = field(default_factory=RolloutHistory)
    schema_versions: Sequence[SchemaVersion] = ()
    """Oldest first."""
    answered: frozenset[str] = frozenset()
    """Ids of the commands that have a reply."""


def read_history(log: RecordLog, model: str) -> LogHistory:
    """Read the topics that say what is live and what was answered.

    Raises
    ------
    TemporaryError
        When the log does not answer.
    """
    return LogHistory(
        rollouts=RolloutHistory(
            promotions=records(log, Promotion, model),
            statuses=records(log, RolloutStatus, model),
            versions=records(log, ModelVersion, model),
            approval_requests=records(log, ApprovalRequest, model),
            approval_outcomes=records(log, ApprovalOutcome, model),
            experiments=records(log, ExperimentStatus, model),
        ),
        schema_versions=records(log, SchemaVersion, model),
        answered=frozenset(reply.command_id for reply in stream(log, CommandReply, model)),
    )
