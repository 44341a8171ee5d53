"""Broken data stops a retrain; changed data does not."""

from __future__ import annotations

import pytest

from retrain.anomalies import TOLERATED, Anomaly, blocking_anomalies, describe


def anomaly(code: str, feature: str = "fare") -> Anomaly:
    return Anomaly(split="train", feature=feature, code=code, detail="TFDV's text.")


@pytest.mark.parametrize("code", sorted(TOLERATED))
def test_changed_data_is_tolerated(code: str) -> None:
    assert blocking_anomalies([anomaly(code)]) == ()


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
    assert blocking_anomalies([anomaly(code)]) == (anomaly(code),)


def test_the_description_names_the_first_anomalies_and_counts_the_others() -> None:
    anomalies = [anomaly("SCHEMA_MISSING_COLUMN", name) for name in ("a", "b", "c", "d", "e")]
    text = describe(anomalies)
    assert text.startswith("a in train: TFDV's text (SCHEMA_MISSING_COLUMN)")
    assert text.endswith("; and 2 more")
