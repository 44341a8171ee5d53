"""The test of values that become frequent: what it finds, and that chance seldom does the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from scipy import special, stats

from streaming import summary
from streaming.contracts.model import FeatureSpec
from streaming.contracts.records import Categories, DriftVerdict
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.statistics.categorical import categorical_tests, prepare_categorical
from streaming.drift.statistics.frequent_values import NAME, ReferenceValues, frequent_value_test
from streaming.drift.statistics.statistic import TestStatistic
from tests.streaming.statistics_data import contract, integer, number, reference, text, window

RULES = DriftRules()
NO_FLOORS = DriftRules(suspected_sd=0.0, drifted_sd=0.0, between_day_sd=0.0)
Rows = Sequence[object] | npt.NDArray[np.float64] | npt.NDArray[np.int64]


def judge(
    spec: FeatureSpec, training: Rows, windows: Sequence[Rows], rules: DriftRules = RULES
) -> list[DriftVerdict]:
    of = contract(spec)

    def batch(values: Rows) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([pa.array(values)], names=[spec.name])

    prepared = prepare_reference(reference(batch(training), of), of)
    history, verdicts = DriftHistory(), []
    for at, values in enumerate(windows):
        record = window(at, batch(values), of)
        verdict, history = judge_drift(record, prepared, "r", history, rules, of)
        verdicts.append(verdict)
    return verdicts


def texts(
    rng: np.random.Generator, rows: int, label: str, new: str = "", share: float = 0.0
) -> list[str]:
    """60 % "none" and distinct texts; `share` of all rows have the text `new` instead of those."""
    kinds = rng.choice(3, rows, p=[0.6, share, 0.4 - share])
    return [("none", new, f"{label}{at}")[kind] for at, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("m", "n", "share"),
    [
        (500, 200, 0.4),
        (500, 10_000, 0.1),
        (20_000, 200, 0.05),
        (20_000, 1_000, 0.05),
        (20_000, 10_000, 0.03),
        (200_000, 1_000, 0.03),
        (200_000, 50_000, 0.4),
    ],
)
def test_a_text_that_replaces_distinct_texts_is_found_and_named(
    m: int, n: int, share: float
) -> None:
    rng = np.random.default_rng(m + n)
    windows = [texts(rng, n, f"w{at}-", "unknown", share) for at in range(5)]
    verdicts = judge(text("note"), texts(rng, m, "r"), windows)
    assert verdicts[-1].outcome == "drifted"
    assert 'share of "unknown" from 0.' in verdicts[-1].features[0].reason
    quiet = judge(text("note"), texts(rng, m, "r"), [texts(rng, n, f"q{at}-") for at in range(5)])
    assert {verdict.outcome for verdict in quiet} == {"stable"}


@pytest.mark.parametrize("seen", [0, 1, 5])
def test_a_value_that_the_reference_saw_a_few_times_is_found(seen: int) -> None:
    rng = np.random.default_rng(seen)
    training = texts(rng, 20_000, "r")
    training[:seen] = ["unknown"] * seen
    windows = [texts(rng, 2_000, f"w{at}-", "unknown", 0.1) for at in range(5)]
    last = judge(text("note"), training, windows)[-1]
    assert last.outcome == "drifted"
    assert last.features[0].test == NAME


def test_several_new_values_at_once_are_found() -> None:
    rng = np.random.default_rng(5)
    windows = [
        [v if v == "none" else ("?", "n/a", "-", "x")[at % 4] for at, v in enumerate(values)]
        for values in (texts(rng, 2_000, "") for _ in range(5))
    ]
    assert judge(text("note"), texts(rng, 20_000, "r"), windows)[-1].outcome == "drifted"


@pytest.mark.parametrize("n", [200, 1_000, 20_000])
@pytest.mark.parametrize(
    ("draw", "default", "spec", "named"),
    [
        ("lognormal", 10.0, number("x"), "10"),
        ("normal", 1.3, number("x"), "1.3"),
        ("normal", -0.5, number("x"), "-0.5"),
        ("integers", 777, integer("x"), "780"),
        ("integers", 777, integer("x", categorical=True), '"777"'),
    ],
)
def test_a_constant_that_fills_a_part_of_a_number_is_found_and_named(
    draw: str, default: float, spec: FeatureSpec, named: str, n: int
) -> None:
    rng = np.random.default_rng(n)

    def values(rows: int) -> npt.NDArray[np.float64]:
        if draw == "integers":
            return rng.integers(0, 5_000, rows)  # type: ignore[return-value]
        drawn = rng.normal(0.0, 1.0, rows)
        return np.exp(2.0 + drawn) if draw == "lognormal" else drawn

    def changed() -> npt.NDArray[np.float64]:
        drawn = values(n)
        return np.where(rng.random(n) < 0.3, default, drawn).astype(drawn.dtype)

    verdicts = judge(spec, values(20_000), [values(n), *(changed() for _ in range(5))])
    assert (verdicts[0].outcome, verdicts[-1].outcome) == ("stable", "drifted")
    assert f"share of {named} from" in verdicts[-1].features[0].reason


def test_a_shift_on_a_coarse_grid_is_not_named_after_one_of_its_buckets() -> None:
    rng = np.random.default_rng(7)
    training = rng.normal(100.0, 10.0, 20_000)
    windows = [rng.normal(108.0, 10.0, 2_000) for _ in range(5)]
    last = judge(number("x"), training, windows)[-1]
    assert (last.outcome, last.features[0].test) == ("drifted", "location")


def run_categories(training: Categories, counted: Categories) -> TestStatistic:
    prepared = prepare_categorical(training)
    assert prepared is not None
    tests = categorical_tests(prepared, prepared.align(counted), RULES)
    return next(test for test in tests if test.name == NAME)


def test_a_value_that_the_reference_may_hide_in_its_tail_is_no_finding() -> None:
    """The error bound says how many rows of a value that is not listed the reference may have."""
    training = Categories(values=("a",), counts=(6_000,), tail_rows=4_000, error=500)
    assert run_categories(training, Categories(values=("a", "b"), counts=(950, 50))).p == 1.0
    larger = run_categories(training, Categories(values=("a", "b"), counts=(600, 400)))
    assert larger.p < 1e-9
    assert larger.value == "b"


def test_a_growth_below_the_floor_does_not_hide_another_value() -> None:
    counts = np.array([22_500, 2_100, 75_400])
    reference_counts = np.array([40_000.0, 1_000.0, 159_000.0, 0.0])
    test = frequent_value_test(
        counts,
        ReferenceValues(reference_counts, np.array([False, False, True, False]), 200_000),
        np.arange(3),
        n=100_000,
        rules=replace(RULES, between_day_sd=0.0),
        effective_sample_fraction=1.0,
        day_variances=lambda _, shares: np.zeros(len(shares)),
        value_of=str,
    )
    assert (test.value, test.partial) == ("1", True)


@pytest.mark.parametrize("level", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("m", [500, 20_000, 1_000_000])
@pytest.mark.parametrize("n", [200, 1_000, 100_000])
def test_chance_reaches_a_level_more_seldom_than_the_level_says(
    level: float, m: int, n: int
) -> None:
    """Over reference and window, for the worst distribution of shares.

    m / x values have the true share x / m each. The reference sees a value c times, and the value
    is significant from some count in the window on.
    """
    seen = np.arange(400)
    shares = (seen + 0.5) / (m + 1.0)
    counts = np.unique(np.geomspace(1, n, 1_500).astype(int))
    p = special.betainc(counts[None, :], (shares * m)[:, None], n / (n + m)) / shares[:, None]
    significant = p <= level
    least = np.where(significant.any(1), counts[significant.argmax(1)], n + 1)
    for expected in np.geomspace(1e-3, min(300, m), 100):
        of_value = stats.poisson.pmf(seen, expected) @ stats.binom.sf(least - 1, n, expected / m)
        assert of_value * m / expected <= level


@pytest.mark.parametrize("law", ["distinct", "zipf", "few and many", "uniform"])
@pytest.mark.parametrize(("m", "n"), [(500, 200), (500, 5_000), (20_000, 500), (20_000, 20_000)])
def test_values_of_any_rarity_exceed_a_level_no_more_often_than_it_says(
    law: str, m: int, n: int
) -> None:
    rng = np.random.default_rng(m + n)
    ranks = np.arange(1, 3_001)
    shares = {
        "distinct": np.ones(50_000),
        "zipf": 1.0 / ranks,
        "few and many": np.append(np.full(20, 0.03), np.full(20_000, 2e-5)),
        "uniform": np.full(60, 1 / 60),
    }[law]
    shares = shares / shares.sum()
    level, exceedances, runs = 0.05, 0, 30
    for _ in range(runs):
        training, counted = (rng.multinomial(rows, shares) for rows in (m, n))
        test = frequent_value_test(
            counted,
            ReferenceValues(training.astype(float), np.zeros(len(shares), bool), m),
            np.arange(len(shares)),
            n=n,
            rules=NO_FLOORS,
            effective_sample_fraction=1.0,
            day_variances=lambda _, chosen: np.zeros(len(chosen)),
            value_of=str,
        )
        exceedances += test.p <= level
    assert exceedances <= stats.binom.ppf(0.999, runs, level)


@pytest.mark.parametrize(("m", "n"), [(500, 500), (500, 5_000), (20_000, 1_000)])
@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.1])
def test_quiet_features_with_many_rare_values_stay_stable(m: int, n: int, exponent: float) -> None:
    rng = np.random.default_rng(m + n)
    shares = np.arange(1, 20_001) ** -exponent
    shares /= shares.sum()
    names = np.array([f"v{at}" for at in range(len(shares))])

    def values(rows: int) -> list[str]:
        return names[rng.choice(len(shares), rows, p=shares)].tolist()  # type: ignore[no-any-return]

    verdicts = judge(text("note"), values(m), [values(n) for _ in range(7)])
    assert {verdict.outcome for verdict in verdicts} == {"stable"}


@pytest.mark.parametrize("n", [1_000])
def test_values_listed_by_chance_do_not_make_the_others_look_new(n: int) -> None:
    """The reference lists 1,000 of 50,000 equally rare values: those it happened to see most."""
    rng = np.random.default_rng(n)

    def values(rows: int) -> list[str]:
        return [f"v{at}" for at in rng.integers(0, 50_000, rows)]

    windows = [values(n) for _ in range(4)]
    for verdict in judge(text("note"), values(20_000), windows, NO_FLOORS):
        (unseen,) = (test for test in verdict.features[0].tests if test.name == "unseen")
        assert unseen.effect < 0.1


def test_merged_references_with_a_tail_still_show_a_new_value() -> None:
    """Their error bounds add up; a frequent value is far beyond them."""
    rng, of = np.random.default_rng(1), contract(text("note"))
    parts = []
    for at in range(3):
        batch = pa.RecordBatch.from_arrays([pa.array(texts(rng, 12_000, f"{at}-"))], names=["note"])
        parts.append(summary.finish(summary.add(summary.start(of), batch))[0])
    merged = summary.merge_summaries(parts)
    assert merged.categories is not None
    assert merged.categories.error > 0
    counted = Categories(values=("none", "unknown"), counts=(600, 400))
    assert run_categories(merged.categories, counted).p < 1e-9


def test_many_new_values_of_a_little_each_are_found() -> None:
    """None of them has 2 % of the rows, all together have the 40 % that distinct texts had."""
    rng = np.random.default_rng(8)

    def few_texts(rows: int) -> list[str]:
        drawn = rng.integers(0, 43, rows)
        return [
            f"n{v}" if other else "none"
            for v, other in zip(drawn, rng.random(rows) > 0.6, strict=True)
        ]

    training = texts(rng, 20_000, "r")
    verdicts = judge(text("note"), training, [few_texts(2_000) for _ in range(5)])
    assert verdicts[-1].outcome == "drifted"


@pytest.mark.parametrize(("values", "m"), [(1_100, 1_500), (3_000, 2_500), (3_000, 8_000)])
def test_many_equally_frequent_values_are_no_change(values: int, m: int) -> None:
    """The bounded reference lists the values that chance made frequent."""
    rng = np.random.default_rng(values)

    def uniform(rows: int) -> list[str]:
        return [f"u{v}" for v in rng.integers(0, values, rows)]

    verdicts = judge(text("note"), uniform(m), [uniform(1_000) for _ in range(6)])
    assert {verdict.outcome for verdict in verdicts} == {"stable"}


@pytest.mark.parametrize(("share", "n"), [(1.0, 200), (1.0, 5_000), (0.05, 10_000), (0.3, 1_000)])
@pytest.mark.parametrize("m", [3_000, 20_000])
def test_a_text_of_distinct_values_that_becomes_one_value_is_found(
    share: float, n: int, m: int
) -> None:
    """The bounded summary of the reference lists none of its values."""
    rng = np.random.default_rng(n + m)

    def distinct(rows: int, name: str) -> list[str]:
        return [f"{name}{at}" for at in range(rows)]

    windows = [
        ["unknown" if new else f"w{at}-{row}" for row, new in enumerate(rng.random(n) < share)]
        for at in range(5)
    ]
    verdicts = judge(text("note"), distinct(m, "r"), windows)
    assert verdicts[-1].outcome == "drifted"
    assert 'share of "unknown" from 0.' in verdicts[-1].features[0].reason
    quiet = judge(text("note"), distinct(m, "r"), [distinct(n, f"q{at}-") for at in range(5)])
    assert {verdict.outcome for verdict in quiet} == {"stable"}
