"""The stream job's Beam pipeline: events in, verdicts out."""

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
from streaming.job.close_windows import LATE_RANGES, SCHEMAS, SUMMARIES, CloseAndJudge
from streaming.job.late_events import EmitLateEvents
from streaming.job.polling import TriggerReads, poll_impulse
from streaming.job.read_events import DEAD, LATE, ReadEvents
from streaming.job.read_records import KeepRecords, ReadRecords, topic_partitions
from streaming.job.settings import JobSettings
from streaming.job.write_records import WriteRecords

_CONTROL_POLL_SECONDS = 1.0
"""Control topics are read at most this often."""


def build(pipeline: Any, settings: JobSettings) -> None:
    """Add the job to `pipeline`.

    Step names are part of a savepoint: a renamed step loses its state.
    """
    impulse = pipeline | "poll impulse" >> poll_impulse(settings.poll_interval_seconds)
    read = _read_events(impulse, settings)
    promotions = _read_control_topic(impulse, PROMOTIONS, Promotion, settings)
    versions = _read_control_topic(impulse, SCHEMA_VERSIONS, SchemaVersion, settings)
    close = beam.ParDo(CloseAndJudge(settings))
    closed = (
        (read["updates"], promotions, versions)
        | "merge" >> beam.Flatten()
        | "close and judge" >> close.with_outputs(SUMMARIES, SCHEMAS, LATE_RANGES, main="verdicts")
    )
    _write(closed[SUMMARIES], WINDOW_STATISTICS, settings)
    _write(closed["verdicts"], DRIFT_VERDICTS, settings)
    _write(closed[SCHEMAS], SCHEMA_VERDICTS, settings)
    _write(read[DEAD], DEAD_LETTERS, settings)
    _write(read[LATE], LATE_EVENTS, settings)
    late = closed[LATE_RANGES] | "emit late events" >> beam.ParDo(EmitLateEvents(settings))
    _write(late, LATE_EVENTS, settings, name="late events of closed windows")


def _read_events(impulse: Any, settings: JobSettings) -> Any:
    triggers = beam.ParDo(TriggerReads(range(settings.shards)))
    return (
        impulse
        | "trigger shards" >> triggers.with_output_types(tuple[int, int])
        | "read events" >> beam.ParDo(ReadEvents(settings)).with_outputs(DEAD, LATE, main="updates")
    )


def _read_control_topic(
    impulse: Any, topic: Topic, record_type: type[Record], settings: JobSettings
) -> Any:
    """The records of a topic with little traffic, for the models of the job."""
    triggers = beam.ParDo(TriggerReads(topic_partitions(topic), _CONTROL_POLL_SECONDS))
    models = {model.contract.model: model.contract.window_seconds for model in settings.models}
    name = topic.name.replace("-", " ")
    return (
        impulse
        | f"trigger {name}" >> triggers.with_output_types(tuple[str, int])
        | f"read {name}" >> beam.ParDo(ReadRecords(settings.bootstrap))
        | f"keep {name}" >> beam.ParDo(KeepRecords(record_type, models))
    )


def _write(records: Any, topic: Topic, settings: JobSettings, *, name: str = "") -> None:
    sink = WriteRecords(settings.bootstrap, topic.name)
    _ = records | f"write {name or topic.name}" >> beam.ParDo(sink)
