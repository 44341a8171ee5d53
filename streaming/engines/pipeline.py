"""The stream job's graph: events in, verdicts out."""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from streaming.contracts.topics import (
    DEAD_LETTERS,
    DRIFT_VERDICTS,
    LATE_EVENTS,
    PROMOTIONS,
    WINDOW_STATISTICS,
    Topic,
)
from streaming.engines.job import JobSettings
from streaming.engines.judge import SUMMARIES, CloseAndJudge, OnlyPromotions
from streaming.engines.kafka_sink import WriteRecords
from streaming.engines.kafka_source import DEAD, LATE, ReadEvents
from streaming.engines.kafka_values import ReadValues


def build(pipeline: Any, settings: JobSettings) -> None:
    """Add the job to `pipeline`.

    Names are part of a savepoint: a renamed step forgets its state.
    """
    read = _read_events(pipeline, settings)
    promotions = _promotions(pipeline, settings)
    judged = (
        (read["arrivals"], promotions)
        | "meet" >> beam.Flatten()
        | "judge" >> beam.ParDo(CloseAndJudge(settings)).with_outputs(SUMMARIES, main="verdicts")
    )
    _write(judged[SUMMARIES], WINDOW_STATISTICS, settings)
    _write(judged["verdicts"], DRIFT_VERDICTS, settings)
    _write(read[DEAD], DEAD_LETTERS, settings)
    _write(read[LATE], LATE_EVENTS, settings)


def _read_events(pipeline: Any, settings: JobSettings) -> Any:
    of = settings.reading_shards
    return (
        pipeline
        | "shards" >> beam.Create([(number, of) for number in range(of)])
        | "read events"
        >> beam.ParDo(ReadEvents(settings)).with_outputs(DEAD, LATE, main="arrivals")
    )


def _promotions(pipeline: Any, settings: JobSettings) -> Any:
    places = [(PROMOTIONS.name, partition, 0) for partition in range(PROMOTIONS.partitions)]
    models = frozenset(one.contract.model for one in settings.models)
    return (
        pipeline
        | "promotions topic" >> beam.Create(places)
        | "read promotions" >> beam.ParDo(ReadValues(settings.bootstrap))
        | "of these models" >> beam.ParDo(OnlyPromotions(models))
    )


def _write(records: Any, topic: Topic, settings: JobSettings) -> None:
    sink = WriteRecords(settings.bootstrap, topic.name)
    _ = records | f"write {topic.name}" >> beam.ParDo(sink)
