"""What the log says about one request: its progress, its version, its failure."""

from __future__ import annotations

from typing import TypeVar

from streaming.contracts.codec import record_in
from streaming.contracts.log import RecordLog
from streaming.contracts.records import (
    ModelVersion,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
)
from streaming.contracts.topics import MODEL_VERSIONS, RETRAIN_FAILURES, Topic

AboutRequest = TypeVar("AboutRequest", ModelVersion, RetrainFailure, RetrainProgress)

CLOCK_SLACK_SECONDS = 3_600.0
"""How far the log's clock may differ from the daemon's when a request's records are read."""


def records_of(
    log: RecordLog, request: RetrainRequest, topic: Topic, kind: type[AboutRequest]
) -> list[AboutRequest]:
    """The records of one kind that were published about this request, oldest first."""
    records = []
    for span in log.spans(topic.name, since=request.at - CLOCK_SLACK_SECONDS):
        for message in log.read(span):
            record = record_in(message.value)
            if isinstance(record, kind) and record.request_id == request.record_id:
                records.append(record)
    return records


def has_failure(log: RecordLog, request: RetrainRequest) -> bool:
    """Whether the log has the failure of a request, or its cancellation."""
    return bool(records_of(log, request, RETRAIN_FAILURES, RetrainFailure))


def has_outcome(log: RecordLog, request: RetrainRequest) -> bool:
    """Whether the log has the failure or the version of a request.

    It still knows a version that was removed from the store.
    """
    return has_failure(log, request) or bool(records_of(log, request, MODEL_VERSIONS, ModelVersion))
