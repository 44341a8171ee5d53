"""Reads the verdicts on quality, and computes them again."""

from __future__ import annotations

from collections.abc import Iterable

from deploy.records import reader
from streaming.contracts.log import RecordLog
from streaming.contracts.recomputed import Recomputed
from streaming.contracts.records import DriftVerdict, QualityVerdict, Record, RulesInForce
from streaming.quality.recompute import QualityReplay


def recompute_quality(
    log: RecordLog, model: str, chain: Iterable[Record]
) -> tuple[Recomputed, ...]:
    """The quality verdicts of a chain; all earlier ones are judged again for them.

    Parameters
    ----------
    log:
        The record log.
    model:
        The model whose verdicts they are.
    chain:
        Records; those of other kinds are left out.
    """
    names = {r.record_id for r in chain if isinstance(r, QualityVerdict) and r.model == model}
    return replay_quality(log, model, names) if names else ()


def replay_quality(
    log: RecordLog, model: str, names: set[str] | None = None
) -> tuple[Recomputed, ...]:
    """Every quality verdict on the log, or those of the names, computed again."""
    rules = {record.digest: record for record in reader.stream(log, RulesInForce, model)}
    drift = {record.record_id: record for record in reader.stream(log, DriftVerdict, model)}
    replay, results = QualityReplay(rules.get, drift), {}
    for recorded in reader.stream(log, QualityVerdict, model):
        if recorded.record_id not in results:  # a repetition changes nothing
            results[recorded.record_id] = replay.add(recorded)
    return tuple(r for name, r in results.items() if names is None or name in names)
