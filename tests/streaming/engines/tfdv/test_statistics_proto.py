"""The statistics proto equals TFDV's own statistics of the same rows; TFDV's native validation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from retrain.models.big_tipper.contract import CODE
from streaming import summary
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import ModelContract
from streaming.engines.tfdv.statistics_proto import statistics_proto
from streaming.engines.tfdv.validation import Statistics, validate
from tests.streaming.statistics_data import TRIPS, contract, integer, number, text, trips

STANDARD, QUANTILES = 0, 1
LEADING_BITS = 2.0**-18
"""Precision of mean and deviation, relative to the largest value."""
BUCKET = 2.0**-6


def ours(
    model: ModelContract, batch: pa.RecordBatch, *categories: str
) -> dict[str, statistics_pb2.FeatureNameStatistics]:
    counted = summary.add(summary.start(model), batch)
    return named(statistics_proto(counted, frozenset(categories)))


def theirs(
    batch: pa.RecordBatch, *categories: str
) -> dict[str, statistics_pb2.FeatureNameStatistics]:
    """TFDV in memory, with its finest resolution; non-finite numbers are missing there too."""
    import tensorflow_data_validation as tfdv
    from tensorflow_data_validation.statistics import stats_impl

    schema = schema_pb2.Schema()
    for name in categories:
        feature = schema.feature.add(name=name, type=schema_pb2.INT)
        feature.int_domain.is_categorical = True
    options = tfdv.StatsOptions(schema=schema, epsilon=0.0001)
    return named(stats_impl.generate_statistics_in_memory(listed(batch), options))


def listed(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = []
    for column in batch.columns:
        values = [
            None
            if value is None or (isinstance(value, float) and not math.isfinite(value))
            else [value]
            for value in column.to_pylist()
        ]
        columns.append(pa.array(values, pa.list_(column.type)))
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def named(
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
) -> dict[str, statistics_pb2.FeatureNameStatistics]:
    return {feature.path.step[0]: feature for feature in statistics.datasets[0].features}


def assert_common(ours: Any, theirs: Any) -> None:
    for name in ("num_non_missing", "num_missing", "min_num_values", "max_num_values",
                 "avg_num_values", "tot_num_values"):  # fmt: skip
        assert getattr(ours, name) == getattr(theirs, name), name
    assert sum(b.sample_count for b in ours.num_values_histogram.buckets) == pytest.approx(
        sum(b.sample_count for b in theirs.num_values_histogram.buckets)
    )


def assert_numbers(ours: Any, theirs: Any) -> None:
    """Equal where our figures are exact, else within the width of the grid or the leading bits."""
    assert_common(ours.common_stats, theirs.common_stats)
    assert (ours.num_zeros, ours.min, ours.max) == (theirs.num_zeros, theirs.min, theirs.max)
    largest = max(abs(theirs.min), abs(theirs.max))
    assert ours.mean == pytest.approx(theirs.mean, abs=LEADING_BITS * largest)
    assert ours.std_dev == pytest.approx(theirs.std_dev, abs=2 * LEADING_BITS * largest)
    assert [h.type for h in ours.histograms] == [h.type for h in theirs.histograms]


def assert_strings(ours: Any, theirs: Any) -> None:
    assert_common(ours.common_stats, theirs.common_stats)
    assert ours.unique == theirs.unique
    assert ours.avg_length == pytest.approx(theirs.avg_length, rel=1e-6)
    mine = {bucket.label: bucket.sample_count for bucket in ours.rank_histogram.buckets}
    assert mine == {bucket.label: bucket.sample_count for bucket in theirs.rank_histogram.buckets}
    assert [top.frequency for top in ours.top_values] == [
        top.frequency for top in theirs.top_values
    ]


SMALL = contract(
    number("x"),
    integer("seconds"),
    integer("zone", categorical=True),
    text("pay"),
    number("rate", categorical=True),
)
KINDS = {
    "x": pa.float64(),
    "seconds": pa.int64(),
    "zone": pa.int64(),
    "pay": pa.string(),
    "rate": pa.float64(),
}
ROWS = st.fixed_dictionaries(
    {
        # TFDV's squares are lost below 1e-160 and above 1e150, ours are not
        "x": st.none() | st.floats(1e-100, 1e100) | st.floats(-1e100, -1e-100)
        | st.sampled_from([0.0, math.nan, math.inf]),
        "seconds": st.none() | st.integers(-(2**53), 2**53) | st.integers(0, 3),
        "zone": st.none() | st.integers(1, 5),
        "pay": st.none() | st.sampled_from(["cash", "card", "für"]),
        "rate": st.none() | st.sampled_from([0.0, 0.5, 2.25]),
    }
)  # fmt: skip


@given(st.lists(ROWS, min_size=1, max_size=12))
def test_small_windows_have_the_statistics_of_tfdv(some: list[dict[str, Any]]) -> None:
    batch = pa.RecordBatch.from_arrays(
        [pa.array([row[name] for row in some], kind) for name, kind in KINDS.items()],
        names=list(KINDS),
    )
    mine, tfdvs = ours(SMALL, batch, "zone"), theirs(batch, "zone")
    for name in KINDS:
        assert (
            mine[name].type == tfdvs[name].type
            or not mine[name].num_stats.common_stats.num_non_missing
        )
        if tfdvs[name].HasField("string_stats"):
            assert_strings(mine[name].string_stats, tfdvs[name].string_stats)
        elif tfdvs[name].num_stats.common_stats.num_non_missing:
            assert_numbers(mine[name].num_stats, tfdvs[name].num_stats)


def test_a_large_window_has_the_statistics_of_tfdv() -> None:
    batch = trips(np.random.default_rng(3), 20_000)
    mine, tfdvs = ours(TRIPS, batch, "zone"), theirs(batch, "zone")
    assert mine.keys() == tfdvs.keys()
    for name, feature in tfdvs.items():
        if feature.HasField("string_stats"):
            assert_strings(mine[name].string_stats, feature.string_stats)
        else:
            assert_numbers(mine[name].num_stats, feature.num_stats)
            assert_shape(mine[name].num_stats, batch.column(batch.schema.names.index(name)), name)


def assert_shape(stats: Any, column: pa.Array[Any], name: str) -> None:
    """Medians and both histograms against the rows themselves."""
    values = np.sort(np.array(column.drop_null().to_numpy(zero_copy_only=False), float))
    values = values[np.isfinite(values)]
    near = BUCKET * np.abs(values).max() if name == "far" else 0.0
    assert stats.median == pytest.approx(np.median(values), rel=BUCKET, abs=near + 0.02)
    for histogram in stats.histograms:
        assert sum(b.sample_count for b in histogram.buckets) == pytest.approx(len(values))
        assert histogram.buckets[0].low_value == values[0]
        assert histogram.buckets[-1].high_value == values[-1]
    for bucket in stats.histograms[STANDARD].buckets:
        width = BUCKET * max(abs(bucket.low_value), abs(bucket.high_value)) + 1e-9
        inner = np.count_nonzero(
            (values > bucket.low_value + width) & (values < bucket.high_value - width)
        )
        outer = np.count_nonzero(
            (values > bucket.low_value - width) & (values < bucket.high_value + width)
        )
        assert inner - 1e-6 <= bucket.sample_count <= outer + 1e-6, name
    for at, bucket in enumerate(stats.histograms[QUANTILES].buckets):
        width = BUCKET * abs(bucket.high_value) + 1.0 * (name == "seconds") + 1e-9
        below = np.searchsorted(values, bucket.high_value - width) / len(values)
        upto = np.searchsorted(values, bucket.high_value + width, side="right") / len(values)
        assert below <= (at + 1) / 10 + 1e-9
        assert upto >= (at + 1) / 10 - 1e-9


def test_the_native_validation_gives_the_result_of_tfdv() -> None:
    import tensorflow_data_validation as tfdv

    statistics = Statistics(str(CODE.schema))
    schema = statistics.schema
    assert schema is not None
    broken = contract(number("fare"), integer("trip_seconds"), text("payment_type"))
    rows: dict[str, list[Any]] = {
        "fare": [-1.0, 2.0],
        "trip_seconds": [None, 3],
        "payment_type": ["Bitcoin", "Cash"],
    }
    batch = pa.RecordBatch.from_pydict(rows)
    proto = statistics.of(summary.add(summary.start(broken), batch))
    anomalies = validate(proto, schema, environment="SERVING")
    assert anomalies == tfdv.validate_statistics(proto, schema, environment="SERVING")
    codes = {(a.feature, a.code) for a in statistics.anomalies(proto, {"colour": "text"})}
    assert ("colour", "SCHEMA_NEW_COLUMN") in codes
    assert ("fare", "FLOAT_TYPE_SMALL_FLOAT") in codes
    assert ("payment_type", "ENUM_TYPE_UNEXPECTED_STRING_VALUES") in codes


def test_an_environment_that_is_not_in_the_schema_is_refused() -> None:
    empty = statistics_pb2.DatasetFeatureStatisticsList()
    empty.datasets.add()
    with pytest.raises(ConfigurationError, match="SERVING"):
        validate(empty, schema_pb2.Schema(), environment="SERVING")


def test_tensorflow_is_not_imported() -> None:
    import subprocess
    import sys

    completed = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(CODE.schema)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert completed.stdout.split() == ["0", "0"]


_SCRIPT = """
import sys
from tensorflow_metadata.proto.v0 import statistics_pb2
from streaming.job.pipeline import build
from streaming.engines.tfdv.validation import Statistics
statistics = statistics_pb2.DatasetFeatureStatisticsList()
statistics.datasets.add()
anomalies = Statistics(sys.argv[1]).anomalies(statistics)
print(len(anomalies), sum(name == "tensorflow" for name in sys.modules))
"""
