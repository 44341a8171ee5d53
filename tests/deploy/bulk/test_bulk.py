"""Bulk predictions: what is read, what is written, and what an interruption leaves."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from deploy.bulk.csv_rows import CsvRows
from deploy.bulk.parts import PartCounts, Parts, RunIdentity, interrupted
from deploy.bulk.rows import inputs_of
from deploy.bulk.run import predict_all
from deploy.bulk.topic_rows import TopicRows
from streaming.contracts.errors import (
    ConfigurationError,
    Conflict,
    NotFoundError,
    PermanentError,
)
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import MISSING, FeatureSpec, ModelContract
from streaming.contracts.topics import applications_topic

FEATURES = (
    FeatureSpec(name="fare", kind="number"),
    FeatureSpec(name="hour", kind="integer"),
    FeatureSpec(name="payment", kind="text"),
)
IDENTITY = RunIdentity(model="m", version=3, digest="d", source="s", rows_per_part=2)
HEADER = "id,fare,hour,payment\n"


def fares(inputs: Mapping[str, Any]) -> Any:
    """The fare as the prediction."""
    return inputs["fare"].astype(np.float64)


def write(folder: Path, text: str, name: str = "rows.csv") -> Path:
    (folder / name).write_bytes(text.encode())
    return folder / name


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def predict_file(file: Path, target: Path, *, part: int = 2, **given: Any) -> PartCounts:
    identity = replace(IDENTITY, rows_per_part=part)
    parts = Parts(target, identity, fresh=given.pop("fresh", False))
    source = CsvRows(file, FEATURES, part)
    return predict_all(
        source, given.pop("predict", fares), parts, features=FEATURES, columns=["number"], **given
    )


def test_inputs_stay_beside_the_predictions(tmp_path: Path) -> None:
    text = HEADER + 'a,1.5,3,Cash\n"b,c",2.5,,"He said ""no"""\n\nd,0,4.0,\n'
    counts = predict_file(write(tmp_path, text), tmp_path / "out.csv")
    assert counts == PartCounts(rows=3)
    predicted = rows_of(tmp_path / "out.csv")
    assert [row["id"] for row in predicted] == ["a", "b,c", "d"]
    assert [float(row["predicted_number"]) for row in predicted] == [1.5, 2.5, 0.0]
    assert predicted[1]["payment"] == 'He said "no"'
    assert {row["problem"] for row in predicted} == {""}
    assert not (tmp_path / "out.csv.parts").exists()


def test_parquet_has_the_same_rows_and_types(tmp_path: Path) -> None:
    text = HEADER + "a,1.5,3,Cash\nb,x,1,Cash\nc,x,1,Cash\nd,y,1,Cash\ne,2.5,1,Cash\n"
    counts = predict_file(write(tmp_path, text), tmp_path / "out.parquet")
    assert (counts.rows, counts.unusable) == (5, 3)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["predicted_number"].to_pylist() == [1.5, None, None, None, 2.5]
    assert table["id"].to_pylist() == list("abcde")
    assert table["problem"].to_pylist()[1] == "fare: 'x' is not a number"


def test_missing_values_are_those_of_a_request(tmp_path: Path) -> None:
    source = CsvRows(write(tmp_path, "hour,payment\n,\n7,é\n"), FEATURES, 10)
    (chunk,) = source(0)
    usable, inputs = inputs_of(chunk, FEATURES)
    assert usable.tolist() == [0, 1]
    assert np.isnan(inputs["fare"]).all()
    assert inputs["fare"].dtype == np.float32
    assert inputs["hour"].tolist() == [[MISSING["integer"]], [7]]
    assert inputs["payment"].tolist() == [[b""], ["é".encode()]]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a,much,3,Cash", "fare: 'much' is not a number"),
        ("a,inf,3,Cash", "fare: 'inf' is not a number"),
        ("a,1e39,3,Cash", "fare: '1e39' is not a number"),
        ("a,1,2.5,Cash", "hour: '2.5' is not an integer"),
        ("a,1,99999999999999999999,Cash", "hour: '99999999999999999999' is not an integer"),
        ("a,1", "2 values for 4 columns"),
        ("a,1,2,3,4", "5 values for 4 columns"),
    ],
)
def test_a_row_that_cannot_be_read_is_counted_and_kept(
    row: str, problem: str, tmp_path: Path
) -> None:
    counts = predict_file(write(tmp_path, HEADER + "z,1,2,x\n" + row), tmp_path / "out.csv")
    assert (counts.rows, counts.unusable) == (2, 1)
    assert counts.first_problem == f"row 2: {problem}"
    _, second = rows_of(tmp_path / "out.csv")
    assert (second["id"], second["predicted_number"], second["problem"]) == ("a", "", problem)


def test_nan_in_a_file_is_a_missing_number(tmp_path: Path) -> None:
    (chunk,) = CsvRows(write(tmp_path, HEADER + "a,nan,NaN,x\n"), FEATURES, 10)(0)
    assert (chunk.values["fare"], chunk.values["hour"], chunk.problems) == ([None], [None], {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no header line"),
        ("fare,fare\n1,2\n", "names fare twice"),
        ("Fare,b\n1,2\n", "none of the model's features"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        CsvRows(write(tmp_path, text), FEATURES, 2)
    with pytest.raises(NotFoundError):
        CsvRows(tmp_path / "absent.csv", FEATURES, 2)


@pytest.mark.parametrize("broken", [b"\xff,1,2,c\n", b"x" * 200_000 + b",1,2,c\n"])
def test_a_file_that_breaks_off_says_where_and_leaves_no_target(
    broken: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(HEADER.encode() + b"a,1.5,3,Cash\n" * 5_000 + broken)
    with pytest.raises(PermanentError, match=r"behind line \d+: .*--fresh"):
        predict_file(file, tmp_path / "out.csv", part=500)
    assert not (tmp_path / "out.csv").exists()


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    lines = "".join(f"{n},{n / 2},{n},text {n}\n" for n in range(9))
    file = write(tmp_path, HEADER + lines)
    predict_file(file, tmp_path / "whole.csv")
    calls: list[int] = []

    def failing(inputs: Mapping[str, Any]) -> Any:
        calls.append(len(inputs["fare"]))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return fares(inputs)

    target = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        predict_file(file, target, predict=failing)
    assert not target.exists()
    assert interrupted(target) == IDENTITY
    (target.with_name("out.csv.parts") / "part-000003.csv").write_text("half wri")
    seen: list[int] = []
    counts = predict_file(file, target, on_part=lambda so_far: seen.append(so_far.rows))
    assert seen == [8, 9]
    assert counts.rows == 9
    assert target.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_parts_of_another_run_are_not_mixed_in(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    Parts(target, IDENTITY).write(0, {"a": [1]}, PartCounts(rows=1))
    other = RunIdentity(model="m", version=4, digest="d", source="s", rows_per_part=2)
    with pytest.raises(Conflict, match="parts of another run"):
        Parts(target, other)
    assert Parts(target, IDENTITY).count == 1
    assert Parts(target, other, fresh=True).count == 0
    Parts(target, other).write(0, {"a": [1]}, PartCounts(rows=1))
    Parts(target, other).finish()
    with pytest.raises(Conflict, match="exists already; --fresh"):
        Parts(target, IDENTITY)


def test_a_target_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\.csv or \.parquet"):
        Parts(tmp_path / "out.json", IDENTITY)
    with pytest.raises(ConfigurationError, match="does not exist"):
        Parts(tmp_path / "absent" / "out.csv", IDENTITY)


def test_no_row_that_can_be_predicted_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"No row could be predicted: row 1: fare: 'x'"):
        predict_file(write(tmp_path, HEADER + "a,x,1,c\n"), tmp_path / "out.csv")
    with pytest.raises(PermanentError, match="there is no row"):
        predict_file(write(tmp_path, HEADER, "empty.csv"), tmp_path / "empty_out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_classes_have_a_column_each_and_the_likeliest_is_named(tmp_path: Path) -> None:
    def two(inputs: Mapping[str, Any]) -> Any:
        first = fares(inputs)
        return np.concatenate([first, 1.0 - first], axis=1)

    parts = Parts(tmp_path / "out.csv", IDENTITY)
    source = CsvRows(write(tmp_path, HEADER + "a,0.25,1,c\nb,?,1,c\nc,0.75,1,c\n"), FEATURES, 2)
    predict_all(source, two, parts, features=FEATURES, columns=["no", "yes"], classes=("no", "yes"))
    predicted = rows_of(tmp_path / "out.csv")
    assert [row["predicted_class"] for row in predicted] == ["yes", "", "no"]
    assert predicted[0]["predicted_yes"] == "0.75"


def test_a_version_of_another_task_is_refused(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "out.csv", IDENTITY)
    source = CsvRows(write(tmp_path, HEADER + "a,0.25,1,c\n"), FEATURES, 2)
    with pytest.raises(PermanentError, match="answers 1 numbers for a row; the task has 3"):
        predict_all(source, fares, parts, features=FEATURES, columns=["a", "b", "c"])


def test_events_of_a_range_are_read_as_the_stream_reads_them() -> None:
    contract = ModelContract(
        model="m", module="x", events_topic="events", labels_topic="labels", key="id", time="at",
        features=FEATURES,
    )  # fmt: skip
    log = MemoryLog()
    log.ensure([applications_topic("events", partitions=1)])
    good = [
        b'{"id": "k%d", "at": %d, "fare": %d.5, "payment": "Cash"}' % (n, 100 + n, n)
        for n in range(4)
    ]
    log.append_raw("events", [(None, value) for value in (*good[:2], b"{", *good[2:])])
    source = TopicRows(log, contract, log.spans("events"), 2, now=1_000.0)
    chunks = list(source(0))
    assert [chunk.rows for chunk in chunks] == [2, 2, 1]
    assert list(chunks[1].problems) == [0]
    assert chunks[0].shown["event_offset"] == [0, 1]
    assert chunks[0].shown["event_key"] == ["k0", "k1"]
    assert chunks[2].values == {"fare": [3.5], "hour": [None], "payment": ["Cash"]}
    (last,) = source(2)
    assert last.shown == chunks[2].shown
    assert source.identity() == TopicRows(log, contract, log.spans("events"), 2, now=2e3).identity()
    with pytest.raises(NotFoundError, match="no event in this range"):
        TopicRows(log, contract, (), 2, now=1_000.0)
