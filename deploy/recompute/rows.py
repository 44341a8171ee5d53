"""Reads the rows of a retrain again, by their offsets, and makes the choice among them again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.records import reader
from retrain.recompute import recompute_rows
from streaming.contracts.errors import DriftlineError
from streaming.contracts.log import RecordLog
from streaming.contracts.recomputed import MissingInputError, Recomputed, not_recomputed
from streaming.contracts.records import (
    OffsetRange,
    Record,
    RetrainRequest,
    RowSelection,
    TrainingRows,
)

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

Reselect = Callable[[TrainingRows, RetrainRequest], RowSelection]
"""Makes the choice of a record again; raises `MissingInputError` where it cannot."""


def recompute_row_choices(
    log: RecordLog, model: str, chain: Iterable[Record], reselect: Reselect
) -> tuple[Recomputed, ...]:
    """The choices of rows and the learning curves of a chain.

    Parameters
    ----------
    log:
        The record log.
    model:
        The model whose retrains they belong to.
    chain:
        Records; those of other kinds are left out.
    """
    chosen = [r for r in chain if isinstance(r, TrainingRows) and r.model == model]
    if not chosen:
        return ()
    requests = {record.record_id: record for record in reader.stream(log, RetrainRequest, model)}
    return tuple(
        _recomputed(record, requests.get(record.request_id), reselect) for record in chosen
    )


def _recomputed(
    record: TrainingRows, request: RetrainRequest | None, reselect: Reselect
) -> Recomputed:
    try:
        if request is None:
            raise MissingInputError(f"Its request {record.request_id} is not on the log.")
        return recompute_rows(record, reselect(record, request))
    except MissingInputError as error:
        known = recompute_rows(record, record.selection)
        return known if known.outcome == "differs" else not_recomputed(record, error)


def reselect_from(deployment: Deployment, log: RecordLog) -> Reselect:
    """Makes choices again with the models' code and settings, from the rows on the log."""

    def reselect(record: TrainingRows, request: RetrainRequest) -> RowSelection:
        if record.model not in deployment.settings.models:
            raise MissingInputError(f"The settings have no model {record.model} any more.")
        _check_kept(log, (*request.events, *request.labels))
        try:
            return _selection(deployment, log, record, request)
        except (DriftlineError, OSError) as error:
            raise MissingInputError(f"Its rows cannot be read again: {error}") from error

    return reselect


def _selection(
    deployment: Deployment, log: RecordLog, record: TrainingRows, request: RetrainRequest
) -> RowSelection:
    from deploy.services.worker import column_decoder
    from retrain.engines.kafka.examples import LogExampleBuilder
    from retrain.schema_versions import write_active_schema

    contract = deployment.contract(record.model)
    topics = {contract.events_topic, contract.labels_topic}
    other = {span.topic for span in (*request.events, *request.labels)} - topics
    if other:
        raise MissingInputError(
            f"Its rows are on {', '.join(sorted(other))}; the settings of {record.model} name"
            f" {', '.join(sorted(topics))} now."
        )
    builder = LogExampleBuilder(
        log=log,
        schemas=deployment.schemas(),
        rules={record.model: record.rules},
        decoder=column_decoder,
    )
    with tempfile.TemporaryDirectory(prefix="driftline-rows-") as folder:
        schema = write_active_schema(log, contract, Path(folder), until=record.at)
        return builder.select(request, contract, Path(folder), schema.path)


def _check_kept(log: RecordLog, spans: Sequence[OffsetRange]) -> None:
    """Whether the log still has every offset.

    Raises
    ------
    MissingInputError
        When it does not; the message says which are gone.
    """
    kept = {
        (span.topic, span.partition): span
        for topic in {span.topic for span in spans}
        for span in log.spans(topic)
    }
    gone, lost = [], 0
    for span in spans:
        kept_span = kept.get((span.topic, span.partition))
        first = (
            min(kept_span.start, span.stop)
            if kept_span and kept_span.stop >= span.stop
            else span.stop
        )
        if first > span.start:
            lost += first - span.start
            gone.append(f"{span.topic}/{span.partition}: {span.start} to {first - 1}")
    if gone:
        total = sum(span.stop - span.start for span in spans)
        raise MissingInputError(
            f"The log no longer has {lost} of the {total} offsets that it was chosen from"
            f" ({', '.join(gone[:5])}{' …' if len(gone) > 5 else ''})."
        )
