"""Reads what the decisions on trained versions were made from, and makes them again."""

from __future__ import annotations

from collections.abc import Iterable

from deploy.records import reader
from retrain.recompute import recompute_blessing
from streaming.contracts.log import RecordLog
from streaming.contracts.recomputed import Recomputed
from streaming.contracts.records import ModelVersion, Record, RetrainRequest, RulesInForce


def recompute_versions(
    log: RecordLog, model: str, chain: Iterable[Record]
) -> tuple[Recomputed, ...]:
    """The versions of a chain: whether each was blessed, and why.

    Parameters
    ----------
    log:
        The record log.
    model:
        The model whose versions they are.
    chain:
        Records; those of other kinds are left out.
    """
    versions = [r for r in chain if isinstance(r, ModelVersion) and r.model == model]
    if not versions:
        return ()
    rules = {record.digest: record for record in reader.stream(log, RulesInForce, model)}
    requests = {record.record_id: record for record in reader.stream(log, RetrainRequest, model)}
    return tuple(
        recompute_blessing(version, requests.get(version.request_id), rules.get)
        for version in versions
    )
