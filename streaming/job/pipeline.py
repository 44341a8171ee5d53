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
from streaming.job.close_windows import SCHEMAS, STRAYS, SUMMARIES, CloseAndJudge, OnlyOf
from streaming.job.late_events import FindStrays
from streaming.job.polling import Ask, ticks
from streaming.job.read_events import DEAD, LATE, ReadEvents
from streaming.job.read_records import ReadValues, place_key
from streaming.job.settings import JobSettings
from streaming.job.write_records import WriteRecords


def build(pipeline: Any, settings: JobSettings) -> None:
    """Add the job to `pipeline`.

    Names are part of a savepoint: a renamed step forgets its state.
    """
    clock = pipeline | "ticks" >> ticks(settings.tick_seconds)
    read = _read_events(clock, settings)
    promotions = _quiet(clock, PROMOTIONS, Promotion, settings, "of these models")
    versions = _quiet(clock, SCHEMA_VERSIONS, SchemaVersion, settings, "schemas of these")
    judge = beam.ParDo(CloseAndJudge(settings))
    judged = (
        (read["arrivals"], promotions, versions)
        | "meet" >> beam.Flatten()
        | "judge" >> judge.with_outputs(SUMMARIES, SCHEMAS, STRAYS, main="verdicts")
    )
    _write(judged[SUMMARIES], WINDOW_STATISTICS, settings)
    _write(judged["verdicts"], DRIFT_VERDICTS, settings)
    _write(judged[SCHEMAS], SCHEMA_VERDICTS, settings)
    _write(read[DEAD], DEAD_LETTERS, settings)
    _write(read[LATE], LATE_EVENTS, settings)
    strays = judged[STRAYS] | "find strays" >> beam.ParDo(FindStrays(settings))
    _write(strays, LATE_EVENTS, settings, "strays")


def _read_events(clock: Any, settings: JobSettings) -> Any:
    shards = beam.ParDo(Ask(range(settings.shards))).with_output_types(tuple[int, int])
    return (
        clock
        | "shards" >> shards
        | "read events"
        >> beam.ParDo(ReadEvents(settings)).with_outputs(DEAD, LATE, main="arrivals")
    )


def _quiet(clock: Any, topic: Topic, kind: type[Record], settings: JobSettings, keep: str) -> Any:
    """The records of a topic that rarely says something; `keep` names the step that picks them."""
    places = [place_key(topic.name, partition) for partition in range(topic.partitions)]
    models = frozenset(one.contract.model for one in settings.models)
    name = topic.name.replace("-", " ")
    return (
        clock
        | f"{name} topic" >> beam.ParDo(Ask(places, 1.0)).with_output_types(tuple[str, int])
        | f"read {name}" >> beam.ParDo(ReadValues(settings.bootstrap))
        | keep >> beam.ParDo(OnlyOf(kind, models))
    )


def _write(records: Any, topic: Topic, settings: JobSettings, name: str = "") -> None:
    sink = WriteRecords(settings.bootstrap, topic.name)
    _ = records | f"write {name or topic.name}" >> beam.ParDo(sink)
