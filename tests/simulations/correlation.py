"""`python -m tests.simulations correlation`: the test of correlations between features, measured.

Tails of the test, its false alarms as a pseudo-feature, its reaction to a shift of one feature, and
the detection delay of a changed correlation. Seeded: the same command prints the same figures.
`--scale` takes fewer or more draws. Results also go to `.driftline/simulations/correlation.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from streaming.contracts.model import FeatureSpec
from streaming.contracts.records import RowSample, WindowSummary
from streaming.drift.correlation.statistic import (
    PreparedCorrelation,
    correlation_test,
    prepare_correlation,
)
from streaming.drift.correlation_verdict import judge_correlation
from streaming.drift.history import JudgedWindow, earlier_windows, oldest_counted, remember
from streaming.drift.settings import DriftRules
from streaming.drift.thresholds.alarm_rules import AlarmRule
from streaming.grid import Floats
from streaming.summary.sample import NO_LIMIT, NON_FINITE, SampledRows, code_of_value
from streaming.summary.sample_records import sample_record
from tests.simulations.kinds import KINDS, Kind
from tests.simulations.records import features_of, window_of
from tests.simulations.tables import PROGRESS

NORMAL = ("normal",) * 10
MIXED = (
    *("normal", "lognormal", "poisson", "sparse", "few values"),
    *("t3", "pareto", "small integers", "many values", "normal"),
)
CHANGED_FEATURE = 3
"""The feature that changes by itself; of the mixed kinds the one with 60 % zeros."""
ROWS, REFERENCE_ROWS, HOUR = 512, 4_096, 3_600.0
REFERENCE_DAYS = 10
"""Number of days that a reference is in use."""
_CODE_OF_ZERO = 2**17
NO_FLOORS = DriftRules(between_day_sd=0.0, suspected_sd=0.0, drifted_sd=0.0)
Change = Callable[[Floats], Floats]


def correlated_scores(rng: np.random.Generator, rows: int, features: int, rho: float) -> Floats:
    """Equally correlated normal scores."""
    common = rng.standard_normal((rows, 1))
    own: Floats = np.sqrt(1.0 - rho) * rng.standard_normal((rows, features))
    scores: Floats = np.sqrt(rho) * common + own
    return scores


def sample_of(kinds: tuple[Kind, ...], scores: Floats, uniform: Floats | None = None) -> RowSample:
    """The record of rows with these normal scores; values with `uniform` below 1 % are missing."""
    codes = np.empty(scores.shape, np.uint64)
    for feature, kind in enumerate(kinds):
        positions = kind.positions(scores[:, feature].astype(np.float32))
        if kind.values:
            value_codes = np.array([code_of_value(value) for value in kind.values])
            codes[:, feature] = value_codes[positions]
        else:
            codes[:, feature] = kind.buckets[positions] + _CODE_OF_ZERO
    if uniform is not None:
        codes[uniform < 0.01] = 0
    assert codes.max() > NON_FINITE
    rows = SampledRows(np.arange(len(codes), dtype=np.uint64), codes, NO_LIMIT)
    return sample_record(rows, [f"f{feature}" for feature in range(len(kinds))])


@dataclass(frozen=True, slots=True)
class Population:
    """Equally correlated features of some kinds."""

    names: tuple[str, ...]
    rho: float

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of the features."""
        return tuple(KINDS[name] for name in self.names)

    def specs(self) -> tuple[FeatureSpec, ...]:
        """The features as in a contract."""
        return tuple(features_of(self.kinds))

    def sample(
        self, rng: np.random.Generator, rows: int, change: Change | None = None
    ) -> RowSample:
        """A sample of rows, with their normal scores changed by `change`."""
        scores = correlated_scores(rng, rows, len(self.names), self.rho)
        uniform = rng.random(scores.shape)
        return sample_of(self.kinds, change(scores) if change else scores, uniform)

    def reference(
        self, rng: np.random.Generator, rows: int = REFERENCE_ROWS
    ) -> PreparedCorrelation:
        """A reference."""
        prepared = prepare_correlation(self.sample(rng, rows), self.specs())
        assert prepared is not None
        return prepared


def tail_ratios(population: Population, *, rows: int, draws: int, seed: int) -> dict[str, float]:
    """True over nominal probability of a p below 1e-2 and 1e-3, over 20 references."""
    rng, p_values = np.random.default_rng(seed), []
    for _ in range(20):
        reference = population.reference(rng)
        for _ in range(draws // 20):
            result = correlation_test(reference, population.sample(rng, rows), NO_FLOORS)
            p_values.append(result[0].p if result else 1.0)
    p = np.array(p_values)
    return {f"{level:g}": float((p <= level).mean() / level) for level in (1e-2, 1e-3)}


def windows(
    population: Population, rng: np.random.Generator, change: Change | None = None
) -> Iterator[WindowSummary]:
    """An endless stream of one-hour windows."""
    number = 0
    while True:
        record = window_of((), number, HOUR, 10_000)
        yield replace(record, sample=population.sample(rng, ROWS, change))
        number += 1


def false_alarm_days(
    population: Population, *, days: int, seed: int, rate: float = 0.2
) -> tuple[int, float]:
    """Days with a false alarm of the pseudo-feature, and the allowed number.

    Its budget is `rate` alarms a day, far more than in practice, so that there is something to
    count. Every reference is in use for ten days.
    """
    rng, count, of = np.random.default_rng(seed), 0, NO_FLOORS.of
    rule = AlarmRule(
        alarms=rate, windows=24.0, features=1, block=24.0, sustained=NO_FLOORS.sustained, of=of
    )
    for _ in range(days // REFERENCE_DAYS):
        reference = population.reference(rng)
        judged: tuple[JudgedWindow, ...] = ()
        alarmed = set()
        for number, window in enumerate(windows(population, rng)):
            if number == 24 * REFERENCE_DAYS:
                break
            start = window.window_start
            oldest = oldest_counted(window_start=start, window_seconds=HOUR, of=of)
            earlier = earlier_windows(judged, window_start=start, oldest=oldest, of=of)
            verdict, level = judge_correlation(window, reference, earlier, NO_FLOORS, rule)
            assert level is not None
            judged = remember(judged, JudgedWindow(start, int(level)), of=of)
            if verdict.outcome != "stable":
                alarmed.add(number // 24)
        count += len(alarmed)
    return count, rate * (days // REFERENCE_DAYS) * REFERENCE_DAYS


def reaction(
    population: Population, change: Change, *, draws: int, seed: int
) -> tuple[float, float]:
    """Share of changed windows with p below 1 %, and the median effect."""
    rng = np.random.default_rng(seed)
    results = []
    for _ in range(5):
        reference = population.reference(rng)
        for _ in range(draws // 5):
            result = correlation_test(reference, population.sample(rng, ROWS, change), NO_FLOORS)
            assert result is not None
            results.append((result[0].p <= 0.01, result[0].effect))
    significant, effects = np.array(results).T
    return float(significant.mean()), float(np.median(effects))


def delays(population: Population, change: Change, *, runs: int, seed: int) -> list[int]:
    """Windows until `drifted`, under the default rules with 10 features in hourly windows."""
    rng, rules, result = np.random.default_rng(seed), DriftRules(), []
    rule = AlarmRule(
        alarms=0.7, windows=720.0, features=11, block=24.0, sustained=rules.sustained, of=rules.of
    )
    for _ in range(runs):
        reference = population.reference(rng)
        judged: tuple[JudgedWindow, ...] = ()
        for number, window in enumerate(windows(population, rng, change)):
            verdict, level = judge_correlation(window, reference, judged[-4:], rules, rule)
            judged = (*judged, JudgedWindow(window.window_start, int(level or 0)))
            if verdict.outcome == "drifted" or number == 99:
                result.append(number + 1)
                break
    return result


def shift(scores: Floats) -> Floats:
    """One feature shifts by half a standard deviation."""
    return scores + np.eye(1, scores.shape[1], CHANGED_FEATURE) * 0.5


def stretch(scores: Floats) -> Floats:
    """The standard deviation of one feature grows by a quarter."""
    return scores * (1.0 + np.eye(1, scores.shape[1], CHANGED_FEATURE) * 0.25)


def flip(scores: Floats) -> Floats:
    """The correlation of two features changes its sign while their margins stay the same."""
    flipped = scores.copy()
    flipped[:, 0] = -scores[:, 1] * 0.6 + 0.8 * scores[:, 0]
    flipped[:, 0] /= np.std(flipped[:, 0])
    return flipped


def measure(scale: float, seed: int) -> list[dict[str, str]]:
    """All figures, as rows of a table."""
    lines: list[dict[str, str]] = []

    def report(measure: str, population: Population, figure: str) -> None:
        kinds = "normal" if population.names == NORMAL else "mixed"
        features = f"10 {kinds}, rho {population.rho}"
        lines.append({"measure": measure, "features": features, "figure": figure})
        PROGRESS.print(*lines[-1].values())

    draws = max(20, round(4_000 * scale))
    for names in (NORMAL, MIXED):
        for rho in (0.0, 0.3, 0.6, 0.9):
            population = Population(names, rho)
            for rows in (200, ROWS):
                ratios = tail_ratios(population, rows=rows, draws=draws, seed=seed)
                figure = ", ".join(f"{level}: {ratio:.2f}" for level, ratio in ratios.items())
                report(f"true / nominal tail, n = {rows}", population, figure)
            days = max(10, round(400 * scale))
            seen, allowed = false_alarm_days(population, days=days, seed=seed)
            report("alarm days seen / allowed", population, f"{seen} / {allowed:.0f}")
        for rho in (0.0, 0.6):
            population = Population(names, rho)
            for change in (shift, stretch):
                significant, effect = reaction(population, change, draws=draws // 4, seed=seed)
                figure = f"{significant:.3f} of windows at 1 %, median effect {effect:.2f} sd"
                report(f"one feature changes ({change.__name__})", population, figure)
            windows_needed = delays(population, flip, runs=max(3, round(30 * scale)), seed=seed)
            report(
                "a correlation flips: windows until drifted",
                population,
                f"{np.median(windows_needed):.0f}",
            )
    return lines
