"""Whole windows without Kafka, Beam and Flink: decoded columns in, verdict out, as the job does it.

Rows are counted in fetches of `FETCH`, cross to the closing step as bytes, are summed up, checked
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
from streaming.grid import TOP, bucket_middle
from streaming.job.summary import Summaries
from streaming.summary import MAX_PARTIAL_VALUES
from streaming.summary.sample import MAX_ROWS as MAX_SAMPLED
from streaming.windowing.accumulator import Partials, WindowPartial
from streaming.windowing.assignment import Settled
from streaming.windowing.decode import Decoded, Decoder
from streaming.windowing.event_reader import Reading

FETCH = 5000
_WORD = 8


class WindowWork:
    """One model's windows; the first one judged warms everything up."""

    def __init__(self, contract: ModelContract, folder: Path) -> None:
        self.contract = contract
        self.rules = DriftRules()
        self._partials: Partials = Reading(contract).partials
        self._summaries = Summaries(contract, ArtifactStore(folder))
        self._reference: PreparedReference | None = None
        self.history = DriftHistory()

    def refer_to(self, batch: pa.RecordBatch) -> None:
        """Judge against these rows from now on."""
        windows = [self.summary(self.parts(batch, 0), 0)]
        built = build_reference(windows, model=self.contract.model, version=1, at=0.0)
        self._reference = prepare_reference(built, self.contract)

    def parts(self, batch: pa.RecordBatch, number: int) -> bytes:
        """What crosses to the closing step when window `number` holds these rows."""
        found: dict[int, WindowPartial] = {}
        for start in range(0, batch.num_rows, FETCH):
            piece = batch.slice(start, FETCH)
            rows = piece.num_rows
            ends = np.full(rows, self._end(number))
            self._partials.fold(
                found,
                Decoded(
                    batch=piece,
                    times=np.zeros(rows),
                    index=np.arange(rows),
                    dead=(),
                    unknown={},
                ),
                Settled(ends=ends, late=np.zeros(rows, bool), running=np.zeros(rows + 1, np.int64)),
                partition=0,
                offsets=range(start, start + rows),
            )
        (part,) = found.values()
        return self._partials.to_bytes(part)

    def summary(self, parts: bytes, number: int) -> WindowSummary:
        """The window's summary."""
        return self._summaries.of([self._partials.from_bytes(parts)], self._end(number))

    def verdict(self, batch: pa.RecordBatch, number: int) -> DriftVerdict:
        """The verdict on a window of these rows."""
        summary = self.summary(self.parts(batch, number), number)
        verdict, self.history = judge_drift(
            summary, self._reference, "bench", self.history, self.rules, self.contract
        )
        return verdict

    def _end(self, number: int) -> int:
        return (number + 1) * round(self.contract.window_seconds * 1000)


def trips(contract: ModelContract, rows: int, seed: int) -> pa.RecordBatch:
    """The demonstration's trips as columns."""
    made = messages.rows(generate(np.random.default_rng(seed), rows))
    values = [
        messages.event(row, key=(contract.key, str(number)), time=(contract.time, 1.0))
        for number, row in enumerate(made)
    ]
    return Decoder(contract).decode(values, now=10.0).batch


def wide(features: int, folder: Path) -> ModelContract:
    """A contract of so many features: of five, four numbers and one category; with a schema."""
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
    """Rows of it: normal, lognormal, skewed with a third of zeros, whole; 12 categories."""
    rng = np.random.default_rng(seed)
    columns: list[pa.Array] = []  # type: ignore[type-arg]
    for at in range(len(contract.features)):
        way = at % 5
        if way == 0:
            columns.append(pa.array(rng.normal(size=rows)))
        elif way == 1:
            columns.append(pa.array(rng.lognormal(2.0, 1.0, rows)))
        elif way == 2:
            columns.append(
                pa.array(np.where(rng.random(rows) < 0.3, 0.0, rng.exponential(9, rows)))
            )
        elif way == 3:
            columns.append(pa.array(rng.poisson(3.0, rows).astype(float)))
        else:
            names = np.array([f"value-{one}" for one in range(12)])
            columns.append(pa.array(names[rng.integers(0, 12, rows)]))
    return pa.RecordBatch.from_arrays(columns, [spec.name for spec in contract.features])


def _schema(specs: Sequence[FeatureSpec]) -> str:
    features = "".join(
        f'feature {{ name: "{one.name}" type: {"BYTES" if one.kind == "text" else "FLOAT"} }}\n'
        for one in specs
    )
    return f'{features}default_environment: "SERVING"\n'


def hostile_rows(contract: ModelContract, rows: int) -> pa.RecordBatch:
    """Rows that fill a summary as far as so many can: every magnitude once, no text twice."""
    ids = np.linspace(-TOP, TOP, rows).astype(np.int64)
    numbers = pa.array(bucket_middle(ids))
    texts = pa.array([f"{at:0{contract.max_text_bytes}d}" for at in range(rows)])
    columns = [texts if spec.kind == "text" else numbers for spec in contract.features]
    return pa.RecordBatch.from_arrays(columns, [spec.name for spec in contract.features])


def bound(contract: ModelContract) -> int:
    """Bytes that no part of a summary exceeds: each bucket of the grid once, the most values."""
    number = (2 * TOP + 1) * 2 * _WORD
    text = MAX_PARTIAL_VALUES * (contract.max_text_bytes + 2 * _WORD)
    sample = MAX_SAMPLED * (4 * len(contract.features) + _WORD)
    by_value = [one.kind == "text" or one.categorical for one in contract.features]
    return sample + sum(text if one else number for one in by_value)
