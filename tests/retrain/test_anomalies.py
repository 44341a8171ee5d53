"""Broken data stops a retrain; changed data does not."""

from __future__ import annotations

import pytest

from retrain.anomalies import Anomaly, blocking_anomalies, describe
from streaming.contracts.tolerance import CHANGES, Tolerance

ROWS = {"train": 4_500, "eval": 1_500}


def anomaly(
    code: str, feature: str = "fare", *, rows: int | None = None, split: str = "train"
) -> Anomaly:
    return Anomaly(split=split, feature=feature, code=code, detail="TFDV's text.", rows=rows)


@pytest.mark.parametrize("code", sorted(CHANGES))
def test_changed_data_is_tolerated(code: str) -> None:
    assert blocking_anomalies([anomaly(code)], ROWS) == ()


@pytest.mark.parametrize(
    "code",
    [
        "SCHEMA_MISSING_COLUMN",
        "UNEXPECTED_DATA_TYPE",
        "FEATURE_TYPE_LOW_FRACTION_PRESENT",
        "FLOAT_TYPE_SMALL_FLOAT",
        "INT_TYPE_BIG_INT",
        "DATA_MISSING",
        "A_NAME_OF_A_LATER_TFDV",
    ],
)
def test_broken_data_and_unknown_anomalies_stop_the_retrain(code: str) -> None:
    assert blocking_anomalies([anomaly(code)], ROWS) == (anomaly(code),)


@pytest.mark.parametrize(
    "code",
    [
        "FEATURE_TYPE_LOW_FRACTION_PRESENT",
        "FLOAT_TYPE_SMALL_FLOAT",
        "FLOAT_TYPE_BIG_FLOAT",
        "INT_TYPE_SMALL_INT",
        "INT_TYPE_BIG_INT",
    ],
)
@pytest.mark.parametrize("split", ["train", "eval"])
def test_a_few_bad_rows_do_not_stop_the_retrain_and_many_do(code: str, split: str) -> None:
    for rows in (1, 5):
        assert blocking_anomalies([anomaly(code, rows=rows, split=split)], ROWS) == ()
    many = anomaly(code, rows=60, split=split)
    assert blocking_anomalies([many], ROWS) == (many,)
    assert blocking_anomalies([many], ROWS, Tolerance(share=0.05)) == ()


def test_the_splits_are_judged_together() -> None:
    halves = [anomaly("INT_TYPE_BIG_INT", rows=12, split=split) for split in ROWS]
    assert blocking_anomalies(halves[:1], ROWS) == ()
    assert len(blocking_anomalies(halves, ROWS)) == 2


def test_the_description_names_the_first_anomalies_and_counts_the_others() -> None:
    anomalies = [anomaly("SCHEMA_MISSING_COLUMN", name) for name in ("a", "b", "c", "d", "e")]
    text = describe(anomalies)
    assert text.startswith("a in train: TFDV's text (SCHEMA_MISSING_COLUMN)")
    assert text.endswith("; and 2 more")
