"""Gathers what a report says, from the projection only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from deploy.console import why
from deploy.console.why import Why
from deploy.projection.lineage import Step, steps
from deploy.projection.reader import ProjectionReader, Stored
from deploy.records.approvals import Approval
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import (
    AnyRecord,
    ApprovalDecision,
    ApprovalOutcome,
    ApprovalRequest,
    CanaryVerdict,
    Command,
    DeadLetter,
    DriftVerdict,
    ModelVersion,
    Promotion,
    QualityVerdict,
    Record,
    RetrainFailure,
    RetrainRequest,
    SchemaVersion,
)

R = TypeVar("R", bound=Record)

MAX_ROWS = 300
"""Rows of one table; a report says how many it leaves out."""
MAX_COUNTED = 100_000
"""Windows that are counted by outcome."""
_CHAIN_DEPTH = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One version, from what caused it to what became of it."""

    version: ModelVersion
    request: RetrainRequest | None
    promotion: Promotion | None
    """When it went live; None when it did not in the time of the report."""
    approvals: tuple[Approval, ...]
    canary: CanaryVerdict | None
    """The last verdict on its canary."""
    gates: tuple[Why, ...]
    chain: tuple[Step, ...]
    """Its causes, back to the windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The newest rows of a table, and how many there are in all."""

    rows: tuple[Stored, ...]
    total: int

    @property
    def omitted(self) -> int:
        """How many rows are not shown."""
        return self.total - len(self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the file says."""

    model: str
    start: float
    end: float
    version: int
    """The version that the report is about; 0 for a period."""
    live: tuple[Promotion, ...]
    """What went live, oldest first; the first one is that at the start of the period."""
    windows: dict[str, int]
    """Judged windows by outcome."""
    unusual: Listed
    """Windows that were not stable."""
    quality: Listed
    """Quality verdicts that were not stable."""
    schema: Listed
    failures: Listed
    commands: Listed
    dead_letters: int
    changes: tuple[Change, ...]


def report_of_period(reader: ProjectionReader, model: str, start: float, end: float) -> Report:
    """What happened to a model from `start` to before `end`, seconds since 1970.

    Raises
    ------
    NotFoundError
        When nothing is known of that time.
    """
    versions = _full(reader, ModelVersion, model, start, end)
    report = _report(reader, model, start, end, versions, version=0)
    if not (report.windows or report.changes or report.live or report.commands.total):
        raise NotFoundError(f"Nothing is known of {model} in that time; give another --from, --to.")
    return report


def report_of_change(reader: ProjectionReader, model: str, version: int, end: float) -> Report:
    """One version: why it was trained, how it was judged, who decided, and what became of it.

    The period begins with the first window among its causes.

    Raises
    ------
    NotFoundError
        When there is no such version.
    """
    versions = reader.full(reader.of_version(ModelVersion, model, version), ModelVersion)
    if not versions:
        raise NotFoundError(f"{model} has no version {version}; `driftline versions {model}`.")
    row = reader.find(versions[0].record_id)
    assert row is not None
    causes = [step.row for step in steps(reader, row, "causes", depth=_CHAIN_DEPTH, count=200)]
    start = min((r.window_start or r.at for r in causes), default=versions[0].at)
    after = reader.of_version(ModelVersion, model, version + 1)
    return _report(
        reader, model, start, after[0].at if after else end, versions[:1], version=version
    )


def _report(
    reader: ProjectionReader,
    model: str,
    start: float,
    end: float,
    versions: Sequence[ModelVersion],
    *,
    version: int,
) -> Report:
    windows = _rows(reader, DriftVerdict, model, start, end, MAX_COUNTED)
    quality = _rows(reader, QualityVerdict, model, start, end, MAX_COUNTED)
    return Report(
        model=model,
        start=start,
        end=end,
        version=version,
        live=_live(reader, model, start, end),
        windows=dict(Counter(row.outcome for row in windows)),
        unusual=_listed([row for row in windows if row.outcome != "stable"]),
        quality=_listed([row for row in quality if row.outcome not in ("stable", "ok")]),
        schema=_listed(_rows(reader, SchemaVersion, model, start, end)),
        failures=_listed(_rows(reader, RetrainFailure, model, start, end)),
        commands=_listed(_rows(reader, Command, model, start, end)),
        dead_letters=len(_rows(reader, DeadLetter, model, start, end, MAX_COUNTED)),
        changes=tuple(_change(reader, entry, end) for entry in versions),
    )


def _change(reader: ProjectionReader, version: ModelVersion, end: float) -> Change:
    model, number = version.model, version.version
    requests = reader.of_version(ApprovalRequest, model, number, 20)
    promotions = reader.full(reader.of_version(Promotion, model, number, 20), Promotion)
    in_time = [entry for entry in promotions if entry.at < end]
    approvals = tuple(_approval(reader, row) for row in reversed(requests))
    canaries = reader.full(reader.of_version(CanaryVerdict, model, number, 1), CanaryVerdict)
    row = reader.find(version.record_id)
    chain = steps(reader, row, "causes", depth=_CHAIN_DEPTH, count=60) if row is not None else []
    return Change(
        version=version,
        request=reader.record(version.request_id, RetrainRequest),
        promotion=in_time[-1] if in_time else None,
        approvals=tuple(entry for entry in approvals if entry is not None),
        canary=canaries[0] if canaries else None,
        gates=tuple(why.of_gate(gate, model) for gate in canaries[0].gates) if canaries else (),
        chain=tuple(step for step in chain if not step.repeated),
    )


def _approval(reader: ProjectionReader, row: Stored) -> Approval | None:
    request = reader.record(row.record_id, ApprovalRequest)
    if request is None:
        return None
    decisions = reader.full(reader.of_subject(ApprovalDecision, row.record_id), ApprovalDecision)
    outcomes = reader.full(reader.of_subject(ApprovalOutcome, row.record_id, 1), ApprovalOutcome)
    return Approval(
        request=request,
        decisions=tuple(reversed(decisions)),
        outcome=outcomes[0] if outcomes else None,
    )


def _live(reader: ProjectionReader, model: str, start: float, end: float) -> tuple[Promotion, ...]:
    before = reader.full(reader.before(Promotion, model, start, 1), Promotion)
    within = _full(reader, Promotion, model, start, end)
    return (*before, *within)


def _full(reader: ProjectionReader, kind: type[R], model: str, start: float, end: float) -> list[R]:
    """Full records of a kind in a period, oldest first."""
    rows = _rows(reader, kind, model, start, end)  # type: ignore[arg-type]  # R is bound to it
    return list(reversed(reader.full(rows, kind)))


def _rows(
    reader: ProjectionReader,
    kind: type[AnyRecord],
    model: str,
    start: float,
    end: float,
    count: int = 5000,
) -> list[Stored]:
    """Rows of a kind in a period, newest first."""
    return [row for row in reader.before(kind, model, end, count) if row.at >= start]


def _listed(rows: Sequence[Stored]) -> Listed:
    return Listed(rows=tuple(rows[:MAX_ROWS]), total=len(rows))
