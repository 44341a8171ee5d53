"""Replay, join and files of the examples; protobuf's own parser reads the bytes back."""

from __future__ import annotations

import dataclasses
import gzip
import json
import struct
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from retrain.engines.kafka.examples import LogExampleBuilder, schema_label_columns
from retrain.engines.kafka.row_facts import RowMeaning
from retrain.engines.tfx.tfrecord import Value, example, feature_encoder
from retrain.ports import AFTER_SHIFT, ExampleSet, TrainingFailed
from streaming.contracts.clock import ManualClock
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import FeatureKind, FeatureSpec
from streaming.contracts.records import OffsetRange, RetrainRequest, RowRules
from streaming.contracts.topics import applications_topic
from tests.retrain.builders import CONTRACT, EVENTS, LABELS, request

TIPS = (FeatureSpec(name="tips", kind="number"),)


def _message_class() -> Any:
    """tf.Example, declared again from feature.proto."""
    file = descriptor_pb2.FileDescriptorProto(name="e.proto", package="t", syntax="proto3")

    def message(name: str) -> Any:
        return file.message_type.add(name=name)

    def add(
        target: Any, name: str, number: int, kind: int, of: str = "", repeated: bool = False
    ) -> None:
        label = 3 if repeated else 1
        target.field.add(name=name, number=number, type=kind, label=label, type_name=of or None)

    add(message("BytesList"), "value", 1, 12, repeated=True)
    add(message("FloatList"), "value", 1, 2, repeated=True)
    add(message("Int64List"), "value", 1, 3, repeated=True)
    feature = message("Feature")
    for number, name in enumerate(("bytes", "float", "int64"), start=1):
        add(feature, f"{name}_list", number, 11, f".t.{name.capitalize()}List")
    features = message("Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    add(entry, "key", 1, 9)
    add(entry, "value", 2, 11, ".t.Feature")
    add(features, "feature", 1, 11, ".t.Features.FeatureEntry", repeated=True)
    add(message("Example"), "features", 1, 11, ".t.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


Example = _message_class()


def parse(data: bytes) -> dict[str, list[Any]]:
    message = Example.FromString(data)
    return {
        name: list(feature.bytes_list.value)
        + list(feature.float_list.value)
        + list(feature.int64_list.value)
        for name, feature in message.features.feature.items()
    }


def read(path: Path) -> list[dict[str, list[Any]]]:
    rows = []
    data = gzip.decompress(path.read_bytes())
    while data:
        (size,) = struct.unpack("<Q", data[:8])
        body, (check,) = data[12 : 12 + size], struct.unpack("<I", data[12 + size : 16 + size])
        crc = google_crc32c.value(body)
        assert check == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
        rows.append(parse(body))
        data = data[16 + size :]
    return rows


values = st.one_of(
    st.tuples(st.just("integer"), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("number"), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    st.tuples(st.just("text"), st.text(max_size=300)),
)


@given(st.dictionaries(st.text(min_size=1, max_size=200), values, max_size=5))
def test_every_value_is_read_back_also_zeros_and_empty_texts(
    row: dict[str, tuple[FeatureKind, Value]],
) -> None:
    entries = b"".join(
        feature_encoder(FeatureSpec(name=name, kind=kind))(value)
        for name, (kind, value) in row.items()
    )
    expected = {
        name: [value.encode() if isinstance(value, str) else value]
        for name, (_, value) in row.items()
    }
    assert parse(example(entries)) == expected


def test_a_missing_value_is_an_absent_feature_and_a_huge_one_stays_finite() -> None:
    for kind in ("integer", "number", "text"):
        assert feature_encoder(FeatureSpec(name="a", kind=kind))(None) == b""
    huge = feature_encoder(FeatureSpec(name="a", kind="number"))(1e300)
    assert parse(example(huge))["a"][0] == pytest.approx(3.4028235e38)


def event(number: int, time: float = 0.0, **fields: object) -> tuple[bytes, bytes]:
    key = f"trip-{number}"
    body = {"trip_id": key, "event_time": time, "fare": float(number), "trip_seconds": 0}
    return key.encode(), json.dumps(body | fields).encode()


def label(number: int, tips: object = 0.0) -> tuple[bytes, bytes]:
    key = f"trip-{number}"
    return key.encode(), json.dumps({"trip_id": key, "tips": tips}).encode()


def empty_log() -> MemoryLog:
    log = MemoryLog(clock=ManualClock(0.0))
    log.ensure([applications_topic(EVENTS, partitions=2), applications_topic(LABELS, partitions=2)])
    return log


def request_of_all(log: MemoryLog, **changes: Any) -> RetrainRequest:
    return request(events=log.spans(EVENTS), labels=log.spans(LABELS), **changes)


def builder(log: MemoryLog, **changes: Any) -> LogExampleBuilder:
    return LogExampleBuilder(log=log, label_columns=lambda _: TIPS, **({"min_rows": 1} | changes))


def all_rows(folder: Path) -> list[dict[str, list[Any]]]:
    return [row for path in sorted(folder.iterdir()) for row in read(path)]


def test_events_are_joined_with_their_labels_and_zeros_stay(tmp_path: Path) -> None:
    log = empty_log()
    log.append_raw(EVENTS, [event(n) for n in range(1_000)])
    log.append_raw(LABELS, [label(n) for n in range(900)])
    example_set = builder(log).build(request_of_all(log), CONTRACT, tmp_path / "x")
    assert (
        example_set.rows,
        example_set.rows_after_shift,
        example_set.unlabelled,
        example_set.unusable,
    ) == (900, 0, 100, 0)
    rows = all_rows(example_set.folder)
    assert {row["fare"][0] for row in rows} == {float(n) for n in range(900)}
    assert all(row["tips"] == [0.0] and row["trip_seconds"] == [0] for row in rows)
    assert all("company" not in row and row[AFTER_SHIFT] == [0] for row in rows)
    held_back = sum(len(read(path)) for path in example_set.folder.glob("eval-*"))
    assert 130 <= held_back <= 230


def test_the_same_request_gives_the_same_bytes(tmp_path: Path) -> None:
    log = empty_log()
    log.append_raw(EVENTS, [event(n) for n in range(200)])
    log.append_raw(LABELS, [label(n) for n in range(200)])
    retrain_request = request_of_all(log)
    log.append_raw(LABELS, [label(n, 9.0) for n in range(200)])
    log.append_raw(EVENTS, [event(n) for n in range(200, 400)])
    folders = [
        builder(log).build(retrain_request, CONTRACT, tmp_path / name).folder for name in "ab"
    ]
    first, second = ([p.read_bytes() for p in sorted(folder.iterdir())] for folder in folders)
    assert first == second
    assert {row["tips"][0] for row in all_rows(folders[0])} == {0.0}


def test_the_same_key_is_always_on_the_same_side(tmp_path: Path) -> None:
    sides = []
    for count in (100, 300):
        log = empty_log()
        log.append_raw(EVENTS, [event(n) for n in range(count)])
        log.append_raw(LABELS, [label(n) for n in range(count)])
        folder = builder(log).build(request_of_all(log), CONTRACT, tmp_path / str(count)).folder
        rows = [row for path in folder.glob("eval-*") for row in read(path)]
        sides.append({row["fare"][0] for row in rows if row["fare"][0] < 100})
    assert sides[0] == sides[1]


def test_rows_after_the_shift_are_flagged_by_offset_and_time(tmp_path: Path) -> None:
    log = empty_log()
    log.append_raw(EVENTS, [event(n, time=float(n)) for n in range(100)])
    log.append_raw(LABELS, [label(n) for n in range(100)])
    after_shift = tuple(
        OffsetRange(topic=EVENTS, partition=s.partition, start=20, stop=s.stop)
        for s in log.spans(EVENTS)
    )
    retrain_request = request_of_all(log, after_shift=after_shift, window_start=60.0)
    example_set = builder(log).build(retrain_request, CONTRACT, tmp_path / "x")
    flagged = {r["fare"][0] for r in all_rows(example_set.folder) if r[AFTER_SHIFT] == [1]}
    assert min(flagged) >= 60
    assert max(flagged) == 99
    assert example_set.rows_after_shift == len(flagged) == 40
    assert example_set.rows == 57, "history has 30 %"
    assert example_set.selection is not None
    (history,) = example_set.selection.history
    assert (history.available, history.taken) == (60, 17)


def test_unreadable_events_and_labels_are_left_out_and_counted(tmp_path: Path) -> None:
    log = empty_log()
    unreadable_events: list[tuple[bytes, bytes]] = [
        (b"a", b"{"),
        event(900, fare="x"),
        event(901, time=5_000.0),
    ]
    log.append_raw(
        EVENTS, [event(n) for n in range(50)] + unreadable_events + [event(3, fare=77.0)]
    )
    unusable_labels = [
        label(1, None),
        label(2, "3"),
        label(3, float("nan")),
        (b"", b"[]"),
        (b"", b"no"),
    ]
    log.append_raw(LABELS, [label(n) for n in range(5, 50)] + unusable_labels + [label(950)])
    example_set = builder(log).build(request_of_all(log), CONTRACT, tmp_path / "x")
    assert (example_set.rows, example_set.unlabelled, example_set.unusable) == (45, 5, 8)


SCHEMA = """
feature { name: "fare" type: FLOAT presence { min_fraction: 1.0 } float_domain { min: 0.0 } }
feature { name: "trip_seconds" type: INT int_domain { min: 0 max: 86400 } }
feature { name: "company" type: BYTES string_domain { value: "A" } }
feature { name: "tips" type: FLOAT float_domain { min: 0.0 max: 500.0 } }
"""


def build_by_schema(
    folder: Path, bad: dict[int, dict[str, Any]], labels: dict[int, object]
) -> ExampleSet:
    """Examples of 6,000 events of which some have other fields, and some another label."""
    log = empty_log()
    log.append_raw(EVENTS, [event(n, **bad.get(n, {})) for n in range(6_000)])
    log.append_raw(LABELS, [label(n, labels.get(n, 1.0)) for n in range(6_000)])
    (folder / "schema.pbtxt").write_text(SCHEMA)
    return builder(log).build(
        request_of_all(log), CONTRACT, folder / "x", schema=folder / "schema.pbtxt"
    )


@pytest.mark.parametrize(
    ("bad", "labels", "feature", "code"),
    [
        ({7: {"fare": -1.0}}, {}, "fare", "FLOAT_TYPE_SMALL_FLOAT"),
        ({7: {"trip_seconds": -1}}, {}, "trip_seconds", "INT_TYPE_SMALL_INT"),
        ({7: {"trip_seconds": 10**9}}, {}, "trip_seconds", "INT_TYPE_BIG_INT"),
        ({}, {7: -0.5}, "tips", "FLOAT_TYPE_SMALL_FLOAT"),
        ({}, {7: 1e9}, "tips", "FLOAT_TYPE_BIG_FLOAT"),
    ],
)
def test_a_row_outside_a_domain_is_set_aside_with_a_count(
    tmp_path: Path,
    bad: dict[int, dict[str, Any]],
    labels: dict[int, object],
    feature: str,
    code: str,
) -> None:
    example_set = build_by_schema(tmp_path, bad, labels)
    (aside,) = example_set.set_aside
    assert (aside.feature, aside.code, aside.rows, aside.of_rows) == (feature, code, 1, 6_000)
    assert (example_set.rows, example_set.unlabelled, example_set.unusable) == (5_999, 0, 0)
    assert 7.0 not in {row["fare"][0] for row in all_rows(example_set.folder)}


def test_a_new_value_is_trained_on_and_a_corrected_label_counts(tmp_path: Path) -> None:
    log = empty_log()
    log.append_raw(EVENTS, [event(n, company="B") for n in range(600)])
    tips = [label(n, 1.0) for n in range(600)]
    log.append_raw(LABELS, [label(5, -1.0), *tips, label(9, -1.0)])
    (tmp_path / "schema.pbtxt").write_text(SCHEMA)
    example_set = builder(log).build(
        request_of_all(log), CONTRACT, tmp_path / "x", schema=tmp_path / "schema.pbtxt"
    )
    assert (example_set.rows, [b.rows for b in example_set.set_aside]) == (599, [1])
    fares = {row["fare"][0] for row in all_rows(example_set.folder)}
    assert 5.0 in fares
    assert 9.0 not in fares


def test_too_many_rows_outside_a_domain_fail_and_name_the_field(tmp_path: Path) -> None:
    bad: dict[int, dict[str, Any]] = {n: {"fare": -1.0} for n in range(0, 6_000, 100)}
    with pytest.raises(
        TrainingFailed, match="FLOAT_TYPE_SMALL_FLOAT in fare: 60 of 6000"
    ) as failed:
        build_by_schema(tmp_path, bad, {})
    assert failed.value.component == "Examples"


def test_too_few_labels_fail_with_advice(tmp_path: Path) -> None:
    log = empty_log()
    log.append_raw(EVENTS, [event(n) for n in range(50)])
    with pytest.raises(TrainingFailed, match="0 of 50 replayed events have a label") as failed:
        builder(log, min_rows=10).build(request_of_all(log), CONTRACT, tmp_path / "x")
    assert failed.value.component == "Examples"
    assert LABELS in failed.value.advice
    assert not (tmp_path / "x").exists()


def test_the_label_columns_come_from_the_model() -> None:
    assert schema_label_columns(CONTRACT) == TIPS


def test_history_is_balanced_by_class_and_slice_and_a_flood_is_capped(tmp_path: Path) -> None:
    log = empty_log()
    companies = ["flood" if n % 2 else f"c{n % 50}" for n in range(400)]
    log.append_raw(
        EVENTS, [event(n, time=float(n), company=name) for n, name in enumerate(companies)]
    )
    log.append_raw(LABELS, [label(n, tips=9.0 if n % 10 == 0 else 0.0) for n in range(400)])
    meaning = RowMeaning(
        class_of=lambda row: row["tips"] > 5.0, slices=("company",),
        entity="company",
    )  # fmt: skip
    shifted = tuple(
        OffsetRange(topic=EVENTS, partition=s.partition, start=0, stop=s.stop)
        for s in log.spans(EVENTS)
    )
    sent = request_of_all(log, after_shift=shifted, window_start=300.0)
    rules = {CONTRACT.model: RowRules(min_entities=3)}
    built = dataclasses.replace(builder(log), meaning=lambda _: meaning, rules=rules).build
    first, again = (built(sent, CONTRACT, tmp_path / name) for name in ("a", "b"))
    assert first.selection == again.selection
    chosen = first.selection
    assert chosen is not None
    assert chosen.capped_entities == 1
    assert {count.label for count in chosen.history} == {"True", "False"}
    rows = {row["company"][0]: 0 for row in all_rows(first.folder)}
    for row in all_rows(first.folder):
        rows[row["company"][0]] += 1
    assert 0 < rows[b"flood"] <= 0.2 * 400
    sides = [
        {row["company"][0] for path in first.folder.glob(pattern) for row in read(path)}
        for pattern in ("train-*", "eval-*")
    ]
    assert sides[0].isdisjoint(sides[1]), "no entity is on both sides"
    for file in first.folder.iterdir():
        assert file.read_bytes() == (again.folder / file.name).read_bytes()


def test_an_event_that_came_twice_is_counted(tmp_path: Path) -> None:
    log = empty_log()
    log.append_raw(EVENTS, [event(n) for n in (*range(50), *range(10))])
    log.append_raw(LABELS, [label(n) for n in range(50)])
    built = builder(log).build(request_of_all(log), CONTRACT, tmp_path / "x")
    assert built.selection is not None
    assert (built.rows, built.selection.duplicates) == (50, 10)
