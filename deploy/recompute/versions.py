"""Reads what the decisions on trained versions were made from, and makes them again."""

from __future__ import annotations

from collections.abc import Iterable

from deploy.records import reader
from retrain.outcomes import BLESSING
from retrain.recompute import recompute_blessing, recompute_insufficient
from streaming.contracts.log import RecordLog
from streaming.contracts.recomputed import Recomputed
from streaming.contracts.records import (
    ModelVersion,
    Record,
    RetrainFailure,
    RetrainRequest,
    RulesInForce,
)


def recompute_versions(
    log: RecordLog, model: str, chain: Iterable[Record]
) -> tuple[Recomputed, ...]:
    """The evaluations of a chain: whether each version was blessed, or none was yet, and why.

    Parameters
    ----------
    log:
        The record log.
    model:
        The model whose versions they are.
    chain:
        Records; those of other kinds are left out.
    """
    versions = [
        record
        for record in chain
        if record.model == model
        and (
            isinstance(record, ModelVersion)
            or (
                isinstance(record, RetrainFailure)
                and record.outcome == "insufficient"
                and record.component == BLESSING
            )
        )
    ]
    if not versions:
        return ()
    rules = {record.digest: record for record in reader.stream(log, RulesInForce, model)}
    requests = {record.record_id: record for record in reader.stream(log, RetrainRequest, model)}
    return tuple(
        recompute_blessing(version, requests.get(version.request_id), rules.get)
        if isinstance(version, ModelVersion)
        else recompute_insufficient(version, requests.get(version.request_id), rules.get)
        for version in versions
    )
