"""The replay by columns writes the files that the replay record by record writes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain.engines.kafka import row_buckets
from retrain.engines.kafka.examples import LogExampleBuilder
from retrain.engines.kafka.record_columns import events_of, labels_of
from retrain.engines.tfx.example_columns import encode_examples, records
from retrain.engines.tfx.tfrecord import RecordWriter, example, feature_encoder
from retrain.ports import ExampleSet
from streaming.contracts.clock import ManualClock
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import FeatureKind, FeatureSpec, ModelContract
from streaming.contracts.records import OffsetRange
from streaming.contracts.registered import SchemaSource
from streaming.windowing.decode import Decoder
from tests.retrain.builders import CONTRACT, EVENTS, LABELS, request

TIPS = (FeatureSpec(name="tips", kind="number"),)
TEAM = (FeatureSpec(name="team", kind="text"),)
SCHEMA = """
feature { name: "fare" type: FLOAT presence { min_fraction: 1.0 } float_domain { min: 0.0 } }
feature { name: "trip_seconds" type: INT int_domain { min: 0 max: 86400 } }
feature { name: "tips" type: FLOAT float_domain { min: 0.0 max: 500.0 } }
"""


def decoder(contract: ModelContract, schemas: SchemaSource | None) -> Decoder:
    return Decoder(contract, schemas=schemas)


def hostile_log(rows: int, *, seed: int, numbers_as_keys: bool = False) -> MemoryLog:
    """Events and labels of which some are repeated, broken, out of range or unreadable."""
    generator = np.random.default_rng(seed)
    log = MemoryLog(clock=ManualClock(0.0))
    names = [n if numbers_as_keys else f"trip-{n}" for n in range(rows)]
    events, labels = [], []
    for number, key in enumerate(names):
        fare: Any = float(generator.choice([1.5, 0.0, -1.0, 1e300], p=[0.7, 0.2, 0.05, 0.05]))
        event: dict[str, Any] = {"trip_id": key, "event_time": float(number), "fare": fare}
        event |= {"trip_seconds": int(generator.integers(0, 90_000)), "other": [1]}
        match generator.integers(0, 12):
            case 0:
                event["fare"] = None
            case 1:
                event["fare"] = "x"
            case 2:
                event["company"] = "é" * int(generator.integers(0, 400))
            case 3:
                event["trip_id"] = names[int(generator.integers(0, number + 1))]
            case 4:
                event["event_time"] = 1e9
            case 5:
                event["trip_seconds"] = -(2**63)
            case 6:
                event["trip_id"] = None
        events.append((b"k", json.dumps(event).encode()))
        for tips in generator.choice(
            np.array([0.0, 2.5, -3.0, None, "3", float("nan")], object),
            size=int(generator.integers(0, 3)),
            p=[0.3, 0.5, 0.05, 0.05, 0.05, 0.05],
        ):
            label = {"trip_id": key, "tips": tips, "team": "a" if tips else ""}
            labels.append((b"k", json.dumps(label).encode()))
    events.insert(rows // 2, (b"k", b"{"))
    labels.insert(rows // 2, (b"k", b'{"trip_id": 1.5}'))
    log.append_raw(EVENTS, events)
    log.append_raw(LABELS, labels)
    return log


def built(
    log: MemoryLog, folder: Path, columns: tuple[FeatureSpec, ...], *, by_columns: bool
) -> ExampleSet:
    (event_span,) = log.spans(EVENTS)
    shifted = OffsetRange(
        topic=EVENTS, partition=0, start=event_span.stop // 2, stop=event_span.stop
    )
    schema = folder.parent / "schema.pbtxt"
    schema.write_text(SCHEMA)
    builder = LogExampleBuilder(
        log=log,
        label_columns=lambda _: columns,
        min_rows=1,
        tolerances={CONTRACT.model: lenient()},
        decoder=decoder if by_columns else None,
    )
    sent = request(
        at=10_000.0,
        events=(event_span,),
        labels=log.spans(LABELS),
        after_shift=(shifted,),
        window_start=1_500.0,
    )
    return builder.build(sent, CONTRACT, folder, schema)


def lenient() -> Any:
    from streaming.contracts.tolerance import DEFAULT

    return msgspec.structs.replace(DEFAULT, share=0.9)


@pytest.mark.parametrize("label_columns", [TIPS, TEAM])
@pytest.mark.parametrize("numbers_as_keys", [False, True])
@pytest.mark.parametrize("bucket_rows", [50_000, 300])
def test_columns_and_single_records_give_the_same_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    label_columns: tuple[FeatureSpec, ...],
    numbers_as_keys: bool,
    bucket_rows: int,
) -> None:
    monkeypatch.setattr(row_buckets, "BUCKET_ROWS", bucket_rows)
    log = hostile_log(2_500, seed=7, numbers_as_keys=numbers_as_keys)
    single = built(log, tmp_path / "single", label_columns, by_columns=False)
    columns = built(log, tmp_path / "columns", label_columns, by_columns=True)
    assert dataclasses.replace(columns, folder=single.folder) == single
    assert single.rows > 300
    assert single.set_aside
    assert single.rows_after_shift > 0
    files = sorted(path.name for path in single.folder.iterdir())
    assert files == sorted(path.name for path in columns.folder.iterdir())
    for name in files:
        assert (single.folder / name).read_bytes() == (columns.folder / name).read_bytes()
    assert not list(tmp_path.glob(".replay-*"))


def test_flat_records_are_read_by_the_decoder() -> None:
    log = hostile_log(1_000, seed=3)
    events = events_of(CONTRACT, now=10_000.0, schemas=None, make_decoder=decoder)
    labels = labels_of(CONTRACT, TIPS, schemas=None, make_decoder=decoder)
    for columns, topic in ((events, EVENTS), (labels, LABELS)):
        single: list[Any] = []
        read_row = columns.read_row

        def counted(message: Any, read_row: Any = read_row, single: list[Any] = single) -> Any:
            single.append(message)
            return read_row(message)

        columns.read_row = counted
        rows = sum(len(batch) for batch in columns.batches(log.read(log.spans(topic)[0])))
        assert rows > 600
        assert len(single) < 0.5 * rows


KINDS: dict[FeatureKind, st.SearchStrategy[Any]] = {
    "integer": st.none() | st.integers(-(2**63), 2**63 - 1),
    "number": st.none() | st.floats(allow_nan=False),
    "text": st.none() | st.text(max_size=200),
}


@settings(max_examples=30)
@given(st.data())
def test_columns_are_encoded_as_rows_are(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
    specs = [FeatureSpec(name=f"f{n}" * 20, kind=kind) for n, kind in enumerate(kinds)]
    rows = data.draw(st.integers(0, 8))
    cells = {
        spec.name: data.draw(st.lists(KINDS[spec.kind], min_size=rows, max_size=rows))
        for spec in specs
    }
    types = {"integer": pa.int64(), "number": pa.float64(), "text": pa.string()}
    columns = {spec.name: pa.array(cells[spec.name], types[spec.kind]) for spec in specs}
    encode = [feature_encoder(spec) for spec in specs]
    expected = [
        example(b"".join(f(cells[s.name][row]) for s, f in zip(specs, encode, strict=True)))
        for row in range(rows)
    ]
    assert encode_examples(columns, specs).to_pylist() == expected


def test_records_have_the_frames_of_the_writer(tmp_path: Path) -> None:
    rows = [b"", b"a", b"a" * 300, b"b"]
    with RecordWriter(tmp_path / "single") as writer:
        for row in rows:
            writer.write(row)
    with RecordWriter(tmp_path / "together") as writer:
        writer.write_framed(records(pa.array(rows, pa.binary()).slice(0, 1)))
        writer.write_framed(records(pa.array(rows, pa.binary()).slice(1)))
    assert (tmp_path / "single").read_bytes() == (tmp_path / "together").read_bytes()
