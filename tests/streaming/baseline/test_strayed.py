"""Each family learns its own wobble: from days of which only some things stray."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pyarrow as pa
import pytest
from msgspec.structs import replace
from scipy import special

from streaming.baseline import learn_wobble
from streaming.baseline.merge import build_reference
from streaming.contracts.records import ReferenceSummary, WindowSummary, Wobble
from streaming.drift import DriftHistory, DriftRules, judge_drift
from tests.streaming.statistics_data import contract, number, text, window

NUMBERS, WORDS, DAYS, ROWS = 6, 4, 15, 20_000
NAMES = [*(f"f{at}" for at in range(NUMBERS)), *(f"w{at}" for at in range(WORDS))]
CONTRACT = contract(*map(number, NAMES[:NUMBERS]), *map(text, NAMES[NUMBERS:]))
VALUES = np.array(["a", "b", "c", "d", "e"])
SHARES = np.array([0.4, 0.3, 0.15, 0.1, 0.05])


def history(
    *, place: float = 0.0, spread: float = 0.0, categories: float = 0.0, shares: float = 0.0
) -> list[WindowSummary]:
    """A window a day: normal numbers of which 5 % are missing, and words."""
    rng, found = np.random.default_rng(6), []
    for day in range(DAYS):
        columns = []
        for _ in range(NUMBERS):
            away, wide, lost = rng.normal(0.0, (place, spread, shares))
            numbers = rng.normal(away, 1.0 + wide / sqrt(2.0), ROWS)
            gone = rng.random(ROWS) < special.ndtr(special.ndtri(0.05) + lost)
            columns.append(pa.array(numbers, mask=gone))
        for _ in range(WORDS):
            own = rng.dirichlet(SHARES * (1.0 / categories**2 - 1.0)) if categories else SHARES
            columns.append(pa.array(rng.choice(VALUES, ROWS, p=own)))
        batch = pa.RecordBatch.from_arrays(columns, NAMES)
        start = 86_400.0 * day
        found.append(window(day, batch, CONTRACT, window_start=start, window_end=start + 86_400.0))
    return found


def reference_of(windows: list[WindowSummary]) -> ReferenceSummary:
    return build_reference(windows, model=CONTRACT.model, version=1, at=0.0)


def learnt(windows: list[WindowSummary]) -> Wobble:
    found = learn_wobble(windows, reference_of(windows), CONTRACT)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("family", "sd"), [("place", 0.05), ("spread", 0.05), ("categories", 0.05), ("shares", 0.05)]
)
def test_what_strays_is_learnt_and_what_does_not_is_not(family: str, sd: float) -> None:
    found = learnt(history(**{family: sd}))
    known = {
        "place": found.sd,
        "spread": found.spread,
        "shape": found.shape,
        "categories": found.categories,
        "shares": found.shares,
    }
    for name, value in known.items():
        assert value is not None, name
        if name == family:
            assert sd * 0.9 < value < sd * 1.35
        else:
            assert value < 0.015, name


def test_few_directions_leave_a_family_to_the_places() -> None:
    names = contract(*map(number, NAMES[:NUMBERS]))
    days = history(place=0.05)
    found = learn_wobble(days, reference_of(days), names)
    assert found is not None
    assert found.values is None  # no single value …
    assert found.categories is None  # … and no category
    assert found.shape is not None


def test_the_verdict_says_what_was_allowed_for() -> None:
    days = history(place=0.05)
    taught = replace(reference_of(days), wobble=learnt(days))
    verdict, _ = judge_drift(days[-1], taught, "r", DriftHistory(), DriftRules(), CONTRACT)
    assert verdict.wobble.startswith("place 0.05")
    assert verdict.wobble.endswith(f"learnt from {DAYS} days of {NUMBERS} features")
