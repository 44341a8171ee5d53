"""Features far from zero: changes are found without a setting, and nothing without a change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from msgspec.structs import replace

from streaming import summary
from streaming.baseline.merge import build_reference
from streaming.contracts.model import FeatureSpec
from streaming.contracts.records import DriftVerdict, ReferenceSummary, WindowSummary
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from tests.streaming.statistics_data import contract, number, window

Numbers = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, float, float], Numbers]
"""Rows with this shift and factor of their spread, in standard deviations."""

ONE = contract(number("x"))
RULES = DriftRules()
WINDOWS, ROWS, REFERENCE_ROWS = 6, 1_000, 20_000


def normal(centre: float, sd: float) -> Draw:
    return lambda rng, n, shift, scale: rng.normal(centre + shift * sd, scale * sd, n)


def whole(centre: float, sd: float) -> Draw:
    return lambda rng, n, shift, scale: np.rint(rng.normal(centre + shift * sd, scale * sd, n))


def with_zeros(share: float, centre: float, sd: float) -> Draw:
    def draw(rng: np.random.Generator, n: int, shift: float, scale: float) -> Numbers:
        values = rng.normal(centre + shift * sd, scale * sd, n)
        return np.where(rng.random(n) < share, 0.0, values)

    return draw


FEATURES: dict[str, Draw] = {
    "latitude": normal(41.8, 0.04),
    "longitude": normal(-87.65, 0.03),
    "mains": normal(50.2, 0.033),
    "pressure": normal(1013.0, 4.0),
    "ids": whole(1e9, 300.0),
    "epoch": normal(1.7e9, 1_800.0),
    "million": whole(1e6, 3.0),
    "billion": normal(1e9, 1e-3),
    "far negative": normal(-3e7, 0.5),
    "zeros and far": with_zeros(0.4, 41.8, 0.04),
}


def counted(values: Numbers, at: int) -> WindowSummary:
    return window(at, pa.RecordBatch.from_arrays([pa.array(values)], names=["x"]), ONE)


def reference_of(values: Numbers) -> ReferenceSummary:
    return build_reference([counted(values, -1)], model=ONE.model, version=1, at=0.0)


def judged(reference: ReferenceSummary, windows: list[Numbers]) -> list[DriftVerdict]:
    prepared, history, verdicts = prepare_reference(reference, ONE), DriftHistory(), []
    for at, values in enumerate(windows):
        verdict, history = judge_drift(counted(values, at), prepared, "r", history, RULES, ONE)
        verdicts.append(verdict)
    return verdicts


def run(draw: Draw, shift: float = 0.0, scale: float = 1.0, rows: int = ROWS) -> list[DriftVerdict]:
    rng = np.random.default_rng(11)
    reference = reference_of(draw(rng, REFERENCE_ROWS, 0.0, 1.0))
    return judged(reference, [draw(rng, rows, shift, scale) for _ in range(WINDOWS)])


@pytest.mark.parametrize("name", FEATURES)
def test_nothing_is_found_without_a_change(name: str) -> None:
    assert {verdict.outcome for verdict in run(FEATURES[name])} == {"stable"}


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("shift", [-3.0, -1.0, 1.0, 2.0])
def test_a_shift_is_found(name: str, shift: float) -> None:
    assert run(FEATURES[name], shift)[-1].outcome == "drifted"


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_change_of_dispersion_is_found(name: str, scale: float) -> None:
    verdict = run(FEATURES[name], scale=scale)[-1]
    assert verdict.outcome in ("drifted", "suspected")


@pytest.mark.parametrize("rows", [200, 5_000])
def test_windows_of_other_sizes_than_the_references_are_compared(rows: int) -> None:
    for name in ("latitude", "epoch"):
        assert run(FEATURES[name], rows=rows)[-1].outcome == "stable"
        assert run(FEATURES[name], 1.0, rows=rows)[-1].outcome == "drifted"


@pytest.mark.parametrize("value", [41.8, -5.0, 1.7e9, 0.0])
@pytest.mark.parametrize("change", [0.01, -1e-4])
def test_a_constant_stays_stable_and_its_change_is_found(value: float, change: float) -> None:
    constant = np.full(ROWS, value)
    reference = reference_of(np.full(REFERENCE_ROWS, value))
    assert {v.outcome for v in judged(reference, [constant] * WINDOWS)} == {"stable"}
    moved = judged(reference, [constant + change * max(1.0, abs(value))] * WINDOWS)
    assert moved[-1].outcome == "drifted"


def test_a_window_that_is_spread_more_than_the_reference_is_judged_at_its_own_bits() -> None:
    rng = np.random.default_rng(3)
    reference = reference_of(rng.normal(41.8, 0.04, REFERENCE_ROWS))
    verdicts = judged(reference, [rng.lognormal(3.0, 2.0, 5_000) for _ in range(WINDOWS)])
    assert verdicts[0].outcome == "suspected"
    assert verdicts[-1].outcome == "drifted"
    assert verdicts[-1].features[0].tests


def cluster_among_spread_values(
    rng: np.random.Generator, rows: int, shift: float, spread: float
) -> Numbers:
    values = rng.normal(41.8 + shift * 0.04, 0.04, rows)
    return np.where(rng.random(rows) < spread, rng.lognormal(2.0, 2.0, rows), values)


def keyed(values: Numbers, at: int) -> WindowSummary:
    """The window with a sample of its rows."""
    batch = pa.RecordBatch.from_arrays([pa.array(values)], names=["x"])
    keys = summary.row_keys("t", at, np.arange(len(values)))
    part = summary.add(summary.start(ONE), batch, keys)
    return replace(
        counted(values, at), features=summary.finish(part), sample=summary.finish_sample(part)
    )


def test_a_feature_too_coarse_for_its_own_spread_says_so_and_is_not_called_stable() -> None:
    rng = np.random.default_rng(4)
    rows = cluster_among_spread_values(rng, 60_000, 0.0, 0.15)
    reference = build_reference([keyed(rows, -1)], model=ONE.model, version=1, at=0.0)
    prepared = prepare_reference(reference, ONE)
    assert prepared.features["x"].shared_pairs > 0.5
    history = DriftHistory()
    for shift in (0.0, 2.0):
        values = cluster_among_spread_values(rng, 4_000, shift, 0.15)
        verdict, history = judge_drift(keyed(values, 0), prepared, "r", history, RULES, ONE)
        (feature,) = verdict.features
        assert (verdict.outcome, feature.outcome) == ("inconclusive", "inconclusive")
        assert "of its pairs of different values share a bucket" in verdict.reason
        assert "missing, non-finite, range, unseen, zero" in feature.reason
    moved = cluster_among_spread_values(rng, 4_000, 0.0, 0.6)
    for at in range(WINDOWS):
        verdict, history = judge_drift(keyed(moved, at), prepared, "r", history, RULES, ONE)
    assert verdict.outcome == "drifted"


def test_a_well_resolved_feature_with_a_sample_is_not_called_coarse() -> None:
    rng = np.random.default_rng(5)
    for values in (
        rng.normal(41.8, 0.04, 30_000),
        rng.lognormal(2, 1, 30_000),
        rng.poisson(3, 999),
    ):
        windows = [keyed(part.astype(float), at) for at, part in enumerate(np.split(values, 3))]
        reference = build_reference(windows, model=ONE.model, version=1, at=0.0)
        assert prepare_reference(reference, ONE).features["x"].shared_pairs < 1 / 32


def test_no_setting_of_a_feature_shifts_its_values() -> None:
    assert "pivot" not in FeatureSpec.__struct_fields__


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((50.2, 0.0), (50.3, 0.0)),
        ((200.0, 404.0), (201.0, 404.0)),
        ((404.0, 500.0), (404.0, 503.0)),
        ((2024.0, 0.0), (2025.0, 0.0)),
        ((60601.0, 60602.0), (60699.0, 60602.0)),
        ((0.0, 1000.0), (0.0, 1005.0)),
    ],
)
def test_a_code_that_moves_a_little_is_another_code(
    before: tuple[float, float], after: tuple[float, float]
) -> None:
    rng = np.random.default_rng(6)

    def codes(values: tuple[float, float], rows: int) -> Numbers:
        return np.where(rng.random(rows) < 0.9, *values)

    reference = reference_of(codes(before, REFERENCE_ROWS))
    quiet = judged(reference, [codes(before, ROWS) for _ in range(WINDOWS)])
    assert {verdict.outcome for verdict in quiet} == {"stable"}
    assert judged(reference, [codes(after, ROWS) for _ in range(WINDOWS)])[-1].outcome == "drifted"
