"""Breakage stops a retrain; movement does not."""

from __future__ import annotations

import pytest

from retrain.anomalies import TOLERATED, Anomaly, sentence, stopping


def anomaly(code: str, feature: str = "fare") -> Anomaly:
    return Anomaly(split="train", feature=feature, code=code, detail="What TFDV says.")


@pytest.mark.parametrize("code", sorted(TOLERATED))
def test_movement_goes_on(code: str) -> None:
    assert stopping([anomaly(code)]) == ()


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
def test_breakage_stops_and_so_does_what_nobody_knows(code: str) -> None:
    assert stopping([anomaly(code)]) == (anomaly(code),)


def test_the_sentence_names_the_first_and_counts_the_rest() -> None:
    bad = [anomaly("SCHEMA_MISSING_COLUMN", name) for name in ("a", "b", "c", "d", "e")]
    text = sentence(bad)
    assert text.startswith("a in train: What TFDV says (SCHEMA_MISSING_COLUMN)")
    assert text.endswith("; and 2 more")
