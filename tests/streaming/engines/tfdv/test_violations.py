"""The rows behind TFDV's anomalies, counted from a window's summary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming import summary
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import SchemaAnomaly
from streaming.engines.tfdv.validation import Statistics

CONTRACT = ModelContract(
    model="m", module="", events_topic="", labels_topic="", key="id", time="at",
    features=(
        FeatureSpec(name="fare", kind="number"),
        FeatureSpec(name="seconds", kind="integer"),
        FeatureSpec(name="area", kind="integer", categorical=True),
        FeatureSpec(name="north", kind="number"),
        FeatureSpec(name="company", kind="text"),
    ),
)  # fmt: skip
SCHEMA = """
default_environment: "SERVING"
feature { name: "fare" type: FLOAT presence { min_fraction: 1.0 } float_domain { min: 0.0 } }
feature { name: "seconds" type: INT presence { min_count: 0 } int_domain { min: 0 max: 86400 } }
feature {
  name: "area" type: INT presence { min_count: 0 }
  int_domain { min: 1 max: 77 is_categorical: true }
}
feature {
  name: "north" type: FLOAT presence { min_fraction: 0.9 } float_domain { min: -90.0 max: 90.0 }
}
feature { name: "company" type: BYTES presence { min_fraction: 1.0 } }
"""
TYPES = {"number": pa.float64(), "integer": pa.int64(), "text": pa.string()}


def anomalies(columns: dict[str, list[Any]]) -> dict[tuple[str, str], SchemaAnomaly]:
    kinds = {spec.name: TYPES[spec.kind] for spec in CONTRACT.features}
    batch = pa.record_batch({name: pa.array(v, kinds[name]) for name, v in columns.items()})
    counted = summary.add(summary.start(CONTRACT), batch)
    statistics = Statistics(text=SCHEMA)
    records = statistics.anomalies(statistics.of(counted), {}, counted)
    return {(anomaly.feature, anomaly.code): anomaly for anomaly in records}


def columns(rows: int) -> dict[str, list[Any]]:
    return {
        "fare": [5.0] * rows,
        "seconds": [600] * rows,
        "area": [8] * rows,
        "north": [41.88] * rows,
        "company": ["a"] * rows,
    }


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(
        [
            ("fare", "FLOAT_TYPE_SMALL_FLOAT", -1.0),
            ("fare", "FLOAT_TYPE_SMALL_FLOAT", -0.001),
            ("fare", "FEATURE_TYPE_LOW_FRACTION_PRESENT", None),
            ("fare", "FEATURE_TYPE_LOW_FRACTION_PRESENT", float("nan")),
            ("fare", "FEATURE_TYPE_LOW_FRACTION_PRESENT", float("inf")),
            ("seconds", "INT_TYPE_SMALL_INT", -5),
            ("seconds", "INT_TYPE_BIG_INT", 90_000),
            ("area", "INT_TYPE_SMALL_INT", 0),
            ("area", "INT_TYPE_BIG_INT", 78),
            ("north", "FLOAT_TYPE_SMALL_FLOAT", -500.0),
            ("north", "FLOAT_TYPE_BIG_FLOAT", 500.0),
            ("company", "FEATURE_TYPE_LOW_FRACTION_PRESENT", None),
        ]
    ),
    st.integers(1, 40),
)
def test_the_rows_of_an_anomaly_are_counted(case: tuple[str, str, Any], bad: int) -> None:
    name, code, value = case
    window = columns(200)
    window[name][:bad] = [value] * bad
    anomaly = anomalies(window)[name, code]
    assert (anomaly.rows, anomaly.allowed) == (bad, 0.0)


def test_the_share_that_the_schema_allows_comes_with_the_rows() -> None:
    window = columns(200)
    window["north"][:50] = [None] * 50
    anomaly = anomalies(window)["north", "FEATURE_TYPE_LOW_FRACTION_PRESENT"]
    assert anomaly.rows == 50
    assert anomaly.allowed == pytest.approx(0.1)


def test_a_bound_inside_a_bucket_is_counted_to_the_bucket() -> None:
    window = columns(4_000)
    values = np.random.default_rng(3).uniform(86_000, 86_800, 4_000).astype(int)
    window["seconds"] = values.tolist()
    rows = anomalies(window)["seconds", "INT_TYPE_BIG_INT"].rows
    assert rows == pytest.approx(int((values > 86_400).sum()), rel=0.1)


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize(
    ("first", "step", "codes"),
    [
        (1_000, 1, {"INT_TYPE_BIG_INT"}),
        (-1_000, -7, {"INT_TYPE_SMALL_INT"}),
        (-20_000, 1, {"INT_TYPE_SMALL_INT"}),
    ],
)
def test_integers_outside_their_domain_count_however_many_there_are(
    share: float, first: int, step: int, codes: set[str]
) -> None:
    """Also with more distinct values than a summary keeps."""
    rows = 20_000
    bad = round(rows * share)
    areas = [8] * (rows - bad) + [first + step * at for at in range(bad)]
    observed = anomalies({**columns(rows), "area": areas})
    observed = {key: anomaly for key, anomaly in observed.items() if key[0] == "area"}
    assert {code for _, code in observed} == codes
    for anomaly in observed.values():
        assert anomaly.rows == pytest.approx(bad, abs=100)


def test_legal_integers_in_the_tail_are_no_anomaly() -> None:
    rows = 20_000
    seconds = [at % 80_000 for at in range(rows)]
    areas = [1 + at % 77 for at in range(rows)]
    assert anomalies({**columns(rows), "seconds": seconds, "area": areas}) == {}
