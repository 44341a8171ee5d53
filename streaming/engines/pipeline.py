"""The stream job's graph: events in, verdicts out."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import FixedWindows, GlobalWindows

from streaming.contracts.topics import (
    DEAD_LETTERS,
    DRIFT_VERDICTS,
    LATE_EVENTS,
    PROMOTIONS,
    WINDOW_STATISTICS,
    Topic,
)
from streaming.engines.job import JobSettings
from streaming.engines.judge import Judge, OnlyPromotions
from streaming.engines.kafka_sink import WriteRecords
from streaming.engines.kafka_source import DEAD, LATE, Place, ReadEvents, ReadValues
from streaming.engines.summarise import Summarise


def build(pipeline: Any, settings: JobSettings) -> None:
    """Add the job to `pipeline`.

    Names are part of a savepoint: a renamed step forgets its state.
    """
    read = _read_events(pipeline, settings)
    summaries = _summaries(read["partials"], settings)
    promotions = _promotions(pipeline, settings)
    verdicts = (
        (summaries, promotions) | "meet" >> beam.Flatten() | "judge" >> beam.ParDo(Judge(settings))
    )
    _write(summaries | "summary" >> beam.Values(), WINDOW_STATISTICS, settings)
    _write(verdicts, DRIFT_VERDICTS, settings)
    _write(read[DEAD], DEAD_LETTERS, settings)
    _write(read[LATE], LATE_EVENTS, settings)


def _read_events(pipeline: Any, settings: JobSettings) -> Any:
    return (
        pipeline
        | "partitions" >> beam.Create(event_places(settings))
        | "read events"
        >> beam.ParDo(ReadEvents(settings)).with_outputs(DEAD, LATE, main="partials")
    )


def _summaries(partials: Any, settings: JobSettings) -> Any:
    return (
        partials
        | "window" >> beam.WindowInto(FixedWindows(settings.contract.window_seconds))
        | "gather" >> beam.GroupByKey()
        | "summarise" >> beam.ParDo(Summarise(settings))
        | "for good" >> beam.WindowInto(GlobalWindows())
    )


def _promotions(pipeline: Any, settings: JobSettings) -> Any:
    places = [(PROMOTIONS.name, partition, 0) for partition in range(PROMOTIONS.partitions)]
    return (
        pipeline
        | "promotions topic" >> beam.Create(places)
        | "read promotions" >> beam.ParDo(ReadValues(settings.bootstrap))
        | "of this model" >> beam.ParDo(OnlyPromotions(settings.contract.model))
    )


def _write(records: Any, topic: Topic, settings: JobSettings) -> None:
    sink = WriteRecords(settings.bootstrap, topic.name, settings.contract.model)
    _ = records | f"write {topic.name}" >> beam.ParDo(sink)


def event_places(settings: JobSettings) -> list[Place]:
    """Where each partition of the events is read from."""
    contract = settings.contract
    starts = settings.from_offsets or (0,) * contract.partitions
    return [(contract.events_topic, partition, start) for partition, start in enumerate(starts)]
