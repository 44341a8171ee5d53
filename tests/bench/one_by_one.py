"""The stream job with another source: Beam's KafkaIO, which hands over record by record.

What follows is the same: windows, summaries, the keyed step that closes and judges, the sinks.
``shipped`` is what one gets first: KafkaIO in a Java harness of its own, each record decoded by
itself. ``inside`` has the harness in the TaskManager. ``best`` is the most that can be had: Flink
reads natively there, a bundle is decoded as columns.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Literal

import apache_beam as beam
from apache_beam.io.kafka import ReadFromKafka
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from streaming.contracts.topics import DRIFT_VERDICTS, WINDOW_STATISTICS
from streaming.engines.flink.client import Flink, options
from streaming.job.close_windows import SCHEMAS, SUMMARIES, CloseAndJudge
from streaming.job.settings import JobSettings
from streaming.job.write_records import WriteRecords
from streaming.windowing.accumulator import WindowPartial
from streaming.windowing.assignment import NEVER_MS
from streaming.windowing.completeness import Arrival, packed
from streaming.windowing.event_reader import Fetch, Reading, Step
from tests.bench.rows import RowByRow

Way = Literal["shipped", "inside", "best"]
FETCH = 5000
BUNDLE = 10_000
"""Records that a bundle may gather: the larger, the better for this way."""
PATIENCE = 180.0


def start(settings: JobSettings, expansion: str, way: Way) -> str:
    """Submit it and return its Flink id once all its parts run."""
    (model,) = settings.models
    chosen = [one for one in options(settings) if not one.startswith("--max_bundle")]
    chosen += [
        f"--max_bundle_size={BUNDLE}",
        "--max_bundle_time_mills=1000",
        *(("--experiments=use_deprecated_read",) if way == "best" else ()),
    ]
    pipeline = beam.Pipeline(options=PipelineOptions(chosen))
    judged = (
        pipeline
        | "KafkaIO"
        >> ReadFromKafka(
            consumer_config={
                "bootstrap.servers": settings.bootstrap,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "max.poll.records": "5000",
            },
            topics=[model.contract.events_topic],
            expansion_service=expansion,
        )
        | "summarise" >> beam.ParDo(Gather(settings, way))
        | "judge"
        >> beam.ParDo(CloseAndJudge(settings)).with_outputs(SUMMARIES, SCHEMAS, main="verdicts")
    )
    for records, topic in (
        (judged[SUMMARIES], WINDOW_STATISTICS),
        (judged.verdicts, DRIFT_VERDICTS),
    ):
        _ = records | f"write {topic.name}" >> beam.ParDo(
            WriteRecords(settings.bootstrap, topic.name)
        )
    pipeline.run()
    flink, until = Flink(settings.flink_rest), time.monotonic() + PATIENCE
    while (job := flink.find(settings.name)) is None:
        if time.monotonic() > until:
            raise RuntimeError(f"Job {settings.name} did not appear.")
        time.sleep(0.25)
    flink.wait_running(job, seconds=PATIENCE)
    return job


@beam.typehints.with_input_types(tuple[Any, Any])
@beam.typehints.with_output_types(tuple[str, bytes])
class Gather(beam.DoFn):  # type: ignore[misc]
    """Records in, one arrival a bundle out."""

    def __init__(self, settings: JobSettings, way: Way) -> None:
        self.contract = settings.models[0].contract
        self.way = way

    def setup(self) -> None:
        self.reading = Reading(self.contract)
        self.rows = RowByRow(self.contract, self.reading)
        self.watermark_ms = NEVER_MS
        self.offset = 0

    def start_bundle(self) -> None:
        self.values: list[bytes] = []
        self.windows: dict[int, WindowPartial] = {}

    def process(self, element: tuple[Any, bytes]) -> None:
        if self.way == "best":
            self.values.append(element[1])
        else:
            self.rows.take(self.windows, element[1], now=time.time())

    def finish_bundle(self) -> Iterator[WindowedValue]:
        windows = self._columns() if self.way == "best" else self._rows()
        parts = {end: self.reading.partials.to_bytes(part) for end, part in windows.items()}
        arrival = packed(Arrival(parts, {0: self.watermark_ms}, 1))
        yield WindowedValue((self.contract.model, arrival), MIN_TIMESTAMP, [GlobalWindow()])

    def _columns(self) -> dict[int, WindowPartial]:
        step, now = Step(watermark_ms=self.watermark_ms), time.time()
        for at in range(0, len(self.values), FETCH):
            values = self.values[at : at + FETCH]
            offsets = range(self.offset, self.offset + len(values))
            self.offset = offsets.stop
            fetch = Fetch(partition=0, offsets=offsets, values=values, arrived=lambda _: now)
            self.reading.take(step, fetch, now=now)
        self.watermark_ms = step.watermark_ms
        return step.windows

    def _rows(self) -> dict[int, WindowPartial]:
        self.rows.finish(self.windows)
        self.watermark_ms = max(self.watermark_ms, self.rows.watermark_ms)
        return self.windows
