"""The stream job's graph: events in, verdicts out."""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from streaming.contracts.records import Promotion, Record, SchemaVersion
from streaming.contracts.topics import (
    DEAD_LETTERS,
    DRIFT_VERDICTS,
    LATE_EVENTS,
    PROMOTIONS,
    SCHEMA_VERDICTS,
    SCHEMA_VERSIONS,
    WINDOW_STATISTICS,
    Topic,
)
from streaming.engines.job import JobSettings
from streaming.engines.judge import SCHEMAS, SUMMARIES, CloseAndJudge, OnlyOf
from streaming.engines.kafka_sink import WriteRecords
from streaming.engines.kafka_source import DEAD, LATE, ReadEvents
from streaming.engines.kafka_values import ReadValues


def build(pipeline: Any, settings: JobSettings) -> None:
    """Add the job to `pipeline`.

    Names are part of a savepoint: a renamed step forgets its state.
    """
    read = _read_events(pipeline, settings)
    promotions = _quiet(pipeline, PROMOTIONS, Promotion, settings, "of these models")
    versions = _quiet(pipeline, SCHEMA_VERSIONS, SchemaVersion, settings, "schemas of these")
    judge = beam.ParDo(CloseAndJudge(settings))
    judged = (
        (read["arrivals"], promotions, versions)
        | "meet" >> beam.Flatten()
        | "judge" >> judge.with_outputs(SUMMARIES, SCHEMAS, main="verdicts")
    )
    _write(judged[SUMMARIES], WINDOW_STATISTICS, settings)
    _write(judged["verdicts"], DRIFT_VERDICTS, settings)
    _write(judged[SCHEMAS], SCHEMA_VERDICTS, settings)
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


def _quiet(
    pipeline: Any, topic: Topic, kind: type[Record], settings: JobSettings, keep: str
) -> Any:
    """The records of a topic that rarely says something; `keep` names the step that picks them."""
    places = [(topic.name, partition, 0) for partition in range(topic.partitions)]
    models = frozenset(one.contract.model for one in settings.models)
    name = topic.name.replace("-", " ")
    return (
        pipeline
        | f"{name} topic" >> beam.Create(places)
        | f"read {name}" >> beam.ParDo(ReadValues(settings.bootstrap))
        | keep >> beam.ParDo(OnlyOf(kind, models))
    )


def _write(records: Any, topic: Topic, settings: JobSettings) -> None:
    sink = WriteRecords(settings.bootstrap, topic.name)
    _ = records | f"write {topic.name}" >> beam.ParDo(sink)
