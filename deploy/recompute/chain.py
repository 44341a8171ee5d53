"""Computes every verdict in the chain behind a record again."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.recompute.quality import recompute_quality
from deploy.recompute.rollouts import recompute_rollouts
from deploy.recompute.rows import Reselect, recompute_row_choices
from deploy.recompute.versions import recompute_versions
from deploy.recompute.windows import recompute_windows
from deploy.records.lineage import Link
from streaming.contracts.artifacts import ArtifactReader
from streaming.contracts.log import RecordLog
from streaming.contracts.recomputed import Recomputed
from streaming.contracts.records import AnyRecord


def recompute_chain(
    log: RecordLog, store: ArtifactReader, link: Link, reselect: Reselect
) -> tuple[Recomputed, ...]:
    """The result for each verdict of a chain and of the rollouts in it, oldest first.

    Parameters
    ----------
    log:
        The record log.
    store:
        The artifact store with the references.
    link:
        The record and its causes.
    reselect:
        Makes the choice of a retrain's rows again.
    """
    chain = {record.record_id: record for record in records_of(link)}
    results: list[Recomputed] = []
    for model in sorted({record.model for record in chain.values()}):
        results += recompute_rollouts(log, model, chain.values())
        results += recompute_windows(log, store, model, chain.values())
        results += recompute_quality(log, model, chain.values())
        results += recompute_versions(log, model, chain.values())
        results += recompute_row_choices(log, model, chain.values(), reselect)
    return tuple(sorted(results, key=lambda result: (result.at, result.kind)))


def records_of(link: Link) -> Iterator[AnyRecord]:
    """The records of a chain; one with several effects may come several times."""
    yield link.record
    for cause in link.causes:
        yield from records_of(cause)
