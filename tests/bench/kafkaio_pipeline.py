"""The stream job with another source: Beam's KafkaIO, which passes on single records.

The later steps are the same: windows, summaries, the keyed step that closes and judges, the sinks.
There are three modes. ``shipped`` is Beam's default: KafkaIO in a Java harness of its own, each
record decoded by itself. ``embedded`` has the harness in the TaskManager. ``native`` is the fastest
way that Beam has: Flink reads natively, and a bundle is decoded as columns.
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
from streaming.engines.flink.client import Flink
from streaming.job.close_windows import SCHEMAS, SUMMARIES, CloseAndJudge
from streaming.job.settings import JobSettings
from streaming.job.submit import options
from streaming.job.write_records import WriteRecords
from streaming.windowing.accumulator import WindowAccumulator
from streaming.windowing.completeness import ShardUpdate, encode_update
from streaming.windowing.event_clock import EventClock
from streaming.windowing.event_reader import EventReader, Fetch, ReadResult
from tests.bench.rows import RowByRow

ReadMode = Literal["shipped", "embedded", "native"]
FETCH = 5000
BUNDLE = 10_000
"""Maximum number of records in a bundle. A larger number is better for this pipeline."""
TIMEOUT_SECONDS = 180.0


def start(settings: JobSettings, expansion: str, mode: ReadMode) -> str:
    """Submit the pipeline and return its Flink id when all its tasks run."""
    (model,) = settings.models
    chosen = [option for option in options(settings) if not option.startswith("--max_bundle")]
    chosen += [
        f"--max_bundle_size={BUNDLE}",
        "--max_bundle_time_mills=1000",
        *(("--experiments=use_deprecated_read",) if mode == "native" else ()),
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
        | "summarise" >> beam.ParDo(Accumulate(settings, mode))
        | "close and judge"
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
    flink, until = Flink(settings.flink_rest), time.monotonic() + TIMEOUT_SECONDS
    while (job := flink.find(settings.name)) is None:
        if time.monotonic() > until:
            raise RuntimeError(f"Job {settings.name} did not appear.")
        time.sleep(0.25)
    flink.wait_running(job, seconds=TIMEOUT_SECONDS)
    return job


@beam.typehints.with_input_types(tuple[Any, Any])
@beam.typehints.with_output_types(tuple[str, bytes])
class Accumulate(beam.DoFn):  # type: ignore[misc]
    """Accumulates a bundle's records and emits one update."""

    def __init__(self, settings: JobSettings, mode: ReadMode) -> None:
        self.contract = settings.models[0].contract
        self.mode = mode

    def setup(self) -> None:
        self.reading = EventReader(self.contract)
        self.rows = RowByRow(self.contract, self.reading)
        self.clock = EventClock()
        self.offset = 0

    def start_bundle(self) -> None:
        self.values: list[bytes] = []
        self.windows: dict[int, WindowAccumulator] = {}

    def process(self, element: tuple[Any, bytes]) -> None:
        if self.mode == "native":
            self.values.append(element[1])
        else:
            self.rows.add(self.windows, element[1], now=time.time())

    def finish_bundle(self) -> Iterator[WindowedValue]:
        windows = self._columns() if self.mode == "native" else self._rows()
        parts = {end: self.reading.combiner.to_bytes(part) for end, part in windows.items()}
        update = encode_update(ShardUpdate(parts, {0: self.clock.watermark_ms}, 1))
        yield WindowedValue((self.contract.model, update), MIN_TIMESTAMP, [GlobalWindow()])

    def _columns(self) -> dict[int, WindowAccumulator]:
        result, now = ReadResult(clock=self.clock), time.time()
        for at in range(0, len(self.values), FETCH):
            values = self.values[at : at + FETCH]
            offsets = range(self.offset, self.offset + len(values))
            self.offset = offsets.stop
            fetch = Fetch(partition=0, offsets=offsets, values=values, timestamp=lambda _: now)
            self.reading.add(result, fetch, now=now)
        self.clock = result.clock
        return result.windows

    def _rows(self) -> dict[int, WindowAccumulator]:
        self.rows.finish(self.windows)
        self.clock = self.clock.at_least(self.rows.watermark_ms)
        return self.windows
