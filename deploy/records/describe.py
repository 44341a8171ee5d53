"""One line about a record, for people."""

from __future__ import annotations

from deploy.config.units import format_time
from streaming.contracts.records import (
    AnswerComparison,
    AnyRecord,
    ApprovalDecision,
    ApprovalOutcome,
    ApprovalRequest,
    CanaryVerdict,
    Command,
    CommandReply,
    DeadLetter,
    DriftVerdict,
    ExperimentCounts,
    ExperimentLook,
    ExperimentStatus,
    ModelVersion,
    PredictionScores,
    Promotion,
    QualityVerdict,
    ReferenceSummary,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
    RolloutInputs,
    RolloutStatus,
    RulesInForce,
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
    TrainingRows,
    WindowSummary,
)

_WAITING = "Waiting: "
"""How the reason of a reply begins that announces why a retrain waits."""


def is_waiting(record: AnyRecord) -> bool:
    """Whether a record announces why a retrain waits."""
    return (
        isinstance(record, CommandReply)
        and not record.accepted
        and record.reason.startswith(_WAITING)
    )


def describe(record: AnyRecord) -> str:
    """What a record says, with its reason."""
    if isinstance(record, CommandReply) and is_waiting(record):
        return f"waiting: {record.reason.removeprefix(_WAITING)}"
    reason = reason_of(record)
    return f"{head(record)}: {reason}" if reason else head(record)


def reason_of(record: AnyRecord) -> str:
    """The reason that a record gives, in its own words; empty where it has none."""
    match record:
        case AnswerComparison():
            return record.comparison.reason
        case DeadLetter():
            return record.detail
        case RetrainProgress():
            return record.detail
        case TrainingRows():
            return record.probe.reason if record.probe is not None else ""
        case _:
            reason: str = getattr(record, "reason", "")
            return reason


def head(record: AnyRecord) -> str:
    """What a record says, in a few words without its reason."""
    match record:
        case Promotion():
            return f"version {record.version} {record.change} (replaced {record.replaced})"
        case ModelVersion():
            blessed = "blessed" if record.blessed else "not blessed"
            schema = f", schema version {record.schema_version}" if record.schema_version else ""
            aside = sum(breach.rows for breach in record.set_aside)
            rows = f"{record.training_rows} rows" + (f" ({aside} set aside)" if aside else "")
            return f"version {record.version} {blessed}, {rows}{schema}"
        case CanaryVerdict():
            return f"canary at {record.weight} %: {record.outcome}"
        case AnswerComparison():
            compared = record.comparison
            return f"answers of versions {record.champion} and {record.version}: {compared.outcome}"
        case RetrainRequest():
            return f"retrain because of {record.cause}"
        case RetrainFailure() | TrainingRows():
            return _retrain_head(record)
        case DriftVerdict():
            return f"window {_period(record)} {record.outcome}"
        case QualityVerdict():
            return f"quality of version {record.version} in {_period(record)} {record.outcome}"
        case PredictionScores():
            return f"scores of {record.counted} predictions"
        case Command():
            return f"{record.who} sent the command {record.action}"
        case CommandReply():
            return "accepted" if record.accepted else "refused"
        case _:
            return _further_head(record)


def _retrain_head(record: RetrainFailure | TrainingRows) -> str:
    if isinstance(record, TrainingRows):
        chosen = record.selection
        return f"{chosen.train} rows to train on, {chosen.evaluated} to evaluate"
    if record.outcome == "insufficient":
        return f"retrain insufficient, waits for {record.rows_needed} labelled rows"
    if record.outcome == "cancelled":
        return "retrain cancelled"
    return f"retrain failed in {record.component}"


def _further_head(record: AnyRecord) -> str:
    match record:
        case RolloutStatus():
            return f"rollout of version {record.version}: {record.phase} at {record.weight} %"
        case ApprovalRequest():
            people = "1 person" if record.people == 1 else f"{record.people} people"
            stage = record.stage.replace("-", " ")
            return f"{people} asked to approve version {record.version} {stage}"
        case ApprovalDecision():
            role = f" ({record.role})" if record.role else ""
            return f"{record.who}{role} said {record.answer} to version {record.version}"
        case ApprovalOutcome():
            return f"approval of version {record.version} {record.outcome}"
        case SchemaVerdict():
            return f"schema in {_period(record)} {record.outcome}"
        case SchemaProposal():
            return f"schema proposal {record.proposal_id} {record.state}"
        case SchemaVersion():
            return f"schema version {record.version} by {record.accepted_by}"
        case ExperimentStatus():
            outcome = f": {record.outcome}" if record.outcome else ""
            return f"experiment {record.definition.experiment_id} {record.phase}{outcome}"
        case WindowSummary():
            return f"window {_period(record)} with {record.accepted} rows"
        case RetrainProgress():
            return f"{record.component} {record.state} ({record.step} of {record.steps})"
        case DeadLetter():
            return f"dead letter of {record.topic}: {record.reason}"
        case _:
            return _NAMES[type(record)]


_NAMES: dict[type[AnyRecord], str] = {
    RolloutInputs: "what a rollout was decided from",
    RulesInForce: "rules in force",
    ExperimentLook: "look at an experiment",
    ExperimentCounts: "counts of an experiment",
    ReferenceSummary: "reference",
}


def _period(verdict: DriftVerdict | QualityVerdict | SchemaVerdict | WindowSummary) -> str:
    """Start and end of a verdict's window."""
    return f"{format_time(verdict.window_start)} to {format_time(verdict.window_end)}"
