"""Complete windows without Kafka, Beam and Flink: from decoded columns to a verdict, as in the job.

Rows are counted in fetches of `FETCH`, passed to the closing step as bytes, summarised, checked
against the schema and judged against a reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from deploy.demo import messages
from deploy.demo.trips import generate
from streaming.baseline.merge import build_reference
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import DriftVerdict, WindowSummary
from streaming.drift import (
    DriftHistory,
    DriftRules,
    PreparedReference,
    judge_drift,
    prepare_reference,
)
from streaming.engines.artifact_store import ArtifactStore
from streaming.grid import MAX_BUCKET, bucket_middle
from streaming.job.summary import SummaryBuilder
from streaming.summary import MAX_PARTIAL_VALUES
from streaming.summary.sample import MAX_ROWS as MAX_SAMPLED
from streaming.windowing.accumulator import WindowAccumulator, WindowCombiner
from streaming.windowing.assignment import Assignment
from streaming.windowing.decode import Decoded, Decoder
from streaming.windowing.event_reader import EventReader

FETCH = 5000
_WORD = 8


class WindowWork:
    """The windows of one model. The first verdict warms up all caches."""

    def __init__(self, contract: ModelContract, folder: Path) -> None:
        self.contract = contract
        self.rules = DriftRules()
        self._combiner: WindowCombiner = EventReader(contract).combiner
        self._summaries = SummaryBuilder(contract, ArtifactStore(folder))
        self._reference: PreparedReference | None = None
        self.history = DriftHistory()

    def set_reference(self, batch: pa.RecordBatch) -> None:
        """Judge against these rows from now on."""
        windows = [self.summary(self.accumulator(batch, 0), 0)]
        built = build_reference(windows, model=self.contract.model, version=1, at=0.0)
        self._reference = prepare_reference(built, self.contract)

    def accumulator(self, batch: pa.RecordBatch, number: int) -> bytes:
        """The bytes that are passed to the closing step for window `number` with these rows."""
        windows: dict[int, WindowAccumulator] = {}
        for start in range(0, batch.num_rows, FETCH):
            piece = batch.slice(start, FETCH)
            rows = piece.num_rows
            ends = np.full(rows, self._end(number))
            self._combiner.add(
                windows,
                Decoded(
                    batch=piece,
                    times=np.zeros(rows),
                    index=np.arange(rows),
                    dead=(),
                    unknown={},
                ),
                Assignment(
                    ends=ends,
                    late=np.zeros(rows, bool),
                    watermarks=np.zeros(rows + 1, np.int64),
                ),
                partition=0,
                offsets=range(start, start + rows),
            )
        (accumulator,) = windows.values()
        return self._combiner.to_bytes(accumulator)

    def summary(self, accumulator: bytes, number: int) -> WindowSummary:
        """The window's summary."""
        return self._summaries.build([self._combiner.from_bytes(accumulator)], self._end(number))

    def verdict(self, batch: pa.RecordBatch, number: int) -> DriftVerdict:
        """The verdict on a window of these rows."""
        summary = self.summary(self.accumulator(batch, number), number)
        verdict, self.history = judge_drift(
            summary, self._reference, "bench", self.history, self.rules, self.contract
        )
        return verdict

    def _end(self, number: int) -> int:
        return (number + 1) * round(self.contract.window_seconds * 1000)


def trips(contract: ModelContract, rows: int, seed: int) -> pa.RecordBatch:
    """The demonstration's trips as columns."""
    rows_of_trips = messages.rows(generate(np.random.default_rng(seed), rows))
    values = [
        messages.event(row, key=(contract.key, str(number)), time=(contract.time, 1.0))
        for number, row in enumerate(rows_of_trips)
    ]
    return Decoder(contract).decode(values, now=10.0).batch


def wide(features: int, folder: Path) -> ModelContract:
    """A contract with a schema; of five features, four are numbers and one is a category."""
    specs = [
        FeatureSpec(name=f"f{at}", kind="text", categorical=True)
        if at % 5 == 4
        else FeatureSpec(name=f"f{at}", kind="number")
        for at in range(features)
    ]
    schema = folder / f"wide-{features}.pbtxt"
    schema.parent.mkdir(parents=True, exist_ok=True)
    schema.write_text(_schema(specs))
    return ModelContract(
        model=f"wide-{features}",
        module="",
        events_topic="wide",
        labels_topic="",
        key="id",
        time="at",
        features=tuple(specs),
        schema_path=str(schema),
    )


def wide_rows(contract: ModelContract, rows: int, seed: int) -> pa.RecordBatch:
    """Its rows: normal, lognormal, skewed with a third of zeros, integers; 12 categories."""
    rng = np.random.default_rng(seed)
    columns: list[pa.Array] = []  # type: ignore[type-arg]
    for at in range(len(contract.features)):
        kind = at % 5
        if kind == 0:
            columns.append(pa.array(rng.normal(size=rows)))
        elif kind == 1:
            columns.append(pa.array(rng.lognormal(2.0, 1.0, rows)))
        elif kind == 2:
            columns.append(
                pa.array(np.where(rng.random(rows) < 0.3, 0.0, rng.exponential(9, rows)))
            )
        elif kind == 3:
            columns.append(pa.array(rng.poisson(3.0, rows).astype(float)))
        else:
            names = np.array([f"value-{number}" for number in range(12)])
            columns.append(pa.array(names[rng.integers(0, 12, rows)]))
    return pa.RecordBatch.from_arrays(columns, [spec.name for spec in contract.features])


def _schema(specs: Sequence[FeatureSpec]) -> str:
    features = "".join(
        f'feature {{ name: "{spec.name}" type: {"BYTES" if spec.kind == "text" else "FLOAT"} }}\n'
        for spec in specs
    )
    return f'{features}default_environment: "SERVING"\n'


def adversarial_rows(contract: ModelContract, rows: int) -> pa.RecordBatch:
    """Rows that make a summary as large as possible: every magnitude once, no text twice."""
    ids = np.linspace(-MAX_BUCKET, MAX_BUCKET, rows).astype(np.int64)
    numbers = pa.array(bucket_middle(ids))
    texts = pa.array([f"{at:0{contract.max_text_bytes}d}" for at in range(rows)])
    columns = [texts if spec.kind == "text" else numbers for spec in contract.features]
    return pa.RecordBatch.from_arrays(columns, [spec.name for spec in contract.features])


def bound(contract: ModelContract) -> int:
    """Upper bound of an accumulator's bytes: all buckets of the grid, the maximum of values."""
    number = (2 * MAX_BUCKET + 1) * 2 * _WORD
    text = MAX_PARTIAL_VALUES * (contract.max_text_bytes + 2 * _WORD)
    sample = MAX_SAMPLED * (4 * len(contract.features) + _WORD)
    by_value = [spec.kind == "text" or spec.categorical for spec in contract.features]
    return sample + sum(text if is_text else number for is_text in by_value)
