"""Reads what the records of rollouts were decided from, and computes them again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from deploy.records import reader
from serving.recompute import RECOMPUTED, RolloutReplay
from streaming.contracts.log import RecordLog
from streaming.contracts.recomputed import Recomputed
from streaming.contracts.records import (
    AnswerComparison,
    AnyRecord,
    ApprovalDecision,
    ApprovalOutcome,
    ApprovalRequest,
    CanaryVerdict,
    ModelVersion,
    PredictionScores,
    Promotion,
    QualityVerdict,
    Record,
    RolloutInputs,
    RolloutStatus,
    RulesInForce,
)

_NAMED: tuple[type[Record], ...] = (
    ModelVersion,
    Promotion,
    AnswerComparison,
    ApprovalRequest,
    ApprovalDecision,
    ApprovalOutcome,
)
"""Records that the inputs of a rollout may name; there are few of each."""
_DECIDED: tuple[type[Record], ...] = (CanaryVerdict, RolloutStatus)
_EVIDENCE: tuple[type[Record], ...] = (PredictionScores, QualityVerdict)


def recompute_rollouts(
    log: RecordLog, model: str, chain: Iterable[Record]
) -> tuple[Recomputed, ...]:
    """The records of a chain that rollouts decided, and all others of the same rollouts.

    Parameters
    ----------
    log:
        The record log.
    model:
        The model whose rollouts they are.
    chain:
        Records; those of other kinds are left out.
    """
    requested = {
        record.record_id: record
        for record in chain
        if isinstance(record, RECOMPUTED) and record.model == model
    }
    if not requested:
        return ()
    inputs = _of_the_rollouts([*reader.stream(log, RolloutInputs, model)], requested.keys())
    decided = {name for entry in inputs for name in entry.decided}
    evidence = {name for entry in inputs for batch in entry.evidence for name in batch.records}
    records: dict[str, AnyRecord] = {**requested}
    for kind in _NAMED:
        records |= {record.record_id: record for record in _stream(log, kind, model)}
    for kinds, names in ((_DECIDED, decided), (_EVIDENCE, evidence)):
        for kind in kinds if names else ():
            matching = (entry for entry in _stream(log, kind, model) if entry.record_id in names)
            records |= {record.record_id: record for record in matching}
    replay = RolloutReplay(records, inputs, reader.stream(log, RulesInForce, model))
    names = decided | requested.keys()
    recorded = [
        record
        for name, record in records.items()
        if name in names and isinstance(record, RECOMPUTED)
    ]
    return tuple(replay.recompute(record) for record in sorted(recorded, key=lambda r: r.at))


def _of_the_rollouts(inputs: list[RolloutInputs], names: Iterable[str]) -> list[RolloutInputs]:
    """All inputs of the rollouts that decided one of the named records."""
    known = frozenset(names)
    naming = [entry for entry in inputs if not known.isdisjoint(entry.decided)]
    rollouts = {entry.rollout_id for entry in naming if entry.rollout_id}
    alone = {entry.record_id for entry in naming}
    return [e for e in inputs if e.rollout_id in rollouts or e.record_id in alone]


def _stream(log: RecordLog, kind: type[Record], model: str) -> Iterator[AnyRecord]:
    yield from reader.stream(log, kind, model)  # type: ignore[misc]
