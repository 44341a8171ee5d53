"""From a record to its row: what lists, pages and lineage need without the whole record.

The mapping is pure. A row has the same columns for every kind of record, so one table and a few
indexes serve all pages; whatever needs more reads the full record.
"""

from __future__ import annotations

from dataclasses import dataclass

from deploy.records.describe import head, reason_of
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
    Promotion,
    QualityVerdict,
    Record,
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
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The slim form of a record."""

    record_id: str
    """Id of the record."""
    kind: str
    """Kind of the record, as in its JSON, for example ``drift-verdict``."""
    model: str
    """Model that the record is about."""
    at: float
    """Time of creation, seconds since 1970."""
    version: int = 0
    """Version of the model that it is about; 0 where there is none."""
    subject: str = ""
    """What it belongs to: rollout, retrain request, approval request, command, proposal or
    experiment, by id; for a dead letter the place of the original."""
    outcome: str = ""
    """Its outcome, state, phase or action in one word; empty where it has none."""
    headline: str = ""
    """What it says, in a few words."""
    reason: str = ""
    """Why, in the record's words."""
    window_start: float = 0.0
    """Start of its window in event time, seconds since 1970; 0 without a window."""
    window_end: float = 0.0
    """End of its window in event time, seconds since 1970; 0 without a window."""
    measure: float | None = None
    """The largest effect over its limit of a drift verdict, the judged metric of a realised quality
    verdict on the live version, the weight of a rollout in percent, the AUC of a version; None for
    other kinds."""
    person: str = ""
    """Who gave it or asked for it: of commands, decisions, retrains and schema versions; empty
    where no person did."""
    causes: tuple[str, ...] = ()
    """Ids of the records that caused it."""


def kind_of(record: Record | type[Record]) -> str:
    """The kind of a record or record type, as its JSON names it.

    >>> kind_of(DriftVerdict)
    'drift-verdict'
    """
    return str(record.__struct_config__.tag)


def row_of(record: AnyRecord) -> Row:
    """The row of a record."""
    return Row(
        record_id=record.record_id,
        kind=kind_of(record),
        model=record.model,
        at=record.at,
        version=getattr(record, "version", 0),
        subject=_subject(record),
        outcome=_outcome(record),
        headline=head(record),
        reason=reason_of(record),
        window_start=getattr(record, "window_start", None) or 0.0,
        window_end=getattr(record, "window_end", None) or 0.0,
        measure=_measure(record),
        person=_field(record, _PERSON_FIELDS),
        causes=tuple(dict.fromkeys(record.caused_by)),
    )


_SUBJECT_FIELDS: dict[type[AnyRecord], str] = {
    AnswerComparison: "rollout_id",
    CanaryVerdict: "rollout_id",
    RolloutStatus: "rollout_id",
    RolloutInputs: "rollout_id",
    ApprovalRequest: "rollout_id",
    ApprovalDecision: "request_id",
    ApprovalOutcome: "request_id",
    ModelVersion: "request_id",
    RetrainFailure: "request_id",
    RetrainProgress: "request_id",
    TrainingRows: "request_id",
    Command: "subject",
    CommandReply: "command_id",
    SchemaProposal: "proposal_id",
    SchemaVersion: "proposal_id",
    ExperimentLook: "experiment_id",
    ExperimentCounts: "experiment_id",
    RulesInForce: "digest",
}
_OUTCOME_FIELDS: dict[type[AnyRecord], str] = {
    DriftVerdict: "outcome",
    RetrainFailure: "outcome",
    QualityVerdict: "outcome",
    SchemaVerdict: "outcome",
    CanaryVerdict: "outcome",
    ApprovalOutcome: "outcome",
    ExperimentLook: "outcome",
    Promotion: "change",
    RolloutStatus: "phase",
    ApprovalRequest: "stage",
    ApprovalDecision: "answer",
    Command: "action",
    SchemaProposal: "state",
    RetrainProgress: "state",
    RetrainRequest: "cause",
    DeadLetter: "reason",
}
_PERSON_FIELDS: dict[type[AnyRecord], str] = {
    Command: "who",
    ApprovalDecision: "who",
    RetrainRequest: "proposed_by",
    SchemaVersion: "accepted_by",
}
_JUDGED_QUALITY = ("auc", "macro_f1", "skill")
"""Metrics of quality that are drawn; a model has one of them."""


def _subject(record: AnyRecord) -> str:
    match record:
        case ExperimentStatus():
            return record.definition.experiment_id
        case DeadLetter():
            return f"{record.topic}/{record.partition}@{record.offset}"
        case _:
            return _field(record, _SUBJECT_FIELDS)


def _outcome(record: AnyRecord) -> str:
    match record:
        case AnswerComparison():
            return record.comparison.outcome
        case ModelVersion():
            return "blessed" if record.blessed else "not-blessed"
        case CommandReply():
            return "accepted" if record.accepted else "refused"
        case ExperimentStatus():
            return record.outcome or record.phase
        case _:
            return _field(record, _OUTCOME_FIELDS)


def _field(record: AnyRecord, fields: dict[type[AnyRecord], str]) -> str:
    name = fields.get(type(record))
    return "" if name is None else str(getattr(record, name))


def _measure(record: AnyRecord) -> float | None:
    match record:
        case DriftVerdict():
            ratios = (f.effect / f.limit_sd for f in record.features if f.limit_sd > 0)
            return max(ratios, default=None)
        case RolloutStatus() | CanaryVerdict():
            return float(record.weight)
        case ModelVersion():
            overall = (m.value for m in record.evaluation if m.name == "auc" and not m.slice)
            return next(overall, None)
        case QualityVerdict() if record.live and record.stage == "realised":
            return next((m.value for m in record.metrics if m.name in _JUDGED_QUALITY), None)
        case _:
            return None
