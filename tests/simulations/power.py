"""Detection delay of changes, with the same false-alarm budget for every detector.

One of 20 features changes. Each detector may raise one false alarm in 30 days of one-hour windows
over all 20 features, so one in 14,400 windows of a feature. The limits of the other detectors are
tuned on quiet windows of the same stream, separately for each window size: single-window distances
by the upper 1 % of quiet windows, extrapolated exponentially; Page-Hinkley's threshold and ADWIN's
delta by search. Driftline's limits are the shipped ones, computed from the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from streaming.contracts.model import FeatureSpec
from streaming.contracts.records import ALARMED
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.grid import Floats, Integers
from tests.competitors.competitor import Competitor
from tests.simulations import distances
from tests.simulations.changes import MISSING, Change, Trial, draw
from tests.simulations.draws import DrawnWindows
from tests.simulations.records import contract_of, reference_of, summaries, window_of

FEATURES, HOUR, WINDOWS = 20, 3_600.0, 720
SIZES = 200, 1_000, 10_000
"""Rows of a window."""
REFERENCE_ROWS, REFERENCES = 200_000, 4
WARM_UP, OURS_WARM_UP = 200, 20
"""Windows before the change. Detectors that estimate the mean get more than Driftline needs."""
QUIET, QUIET_TFDV, QUIET_SERIES = 30_000, 10_000, 60
FALSE_ALARM_RATE = 1.0 / (FEATURES * WINDOWS)
FLOORS_OFF = DriftRules(between_day_sd=0.0, suspected_sd=0.0, drifted_sd=0.0)
DEFAULT_FLOORS = DriftRules(between_day_sd=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """Number of windows until a change is found."""

    change: str
    rows: int
    detector: str
    windows: float
    """Median over the trials; infinite when most trials end before the change is found."""
    mean: float
    """Mean over the trials; a trial that ends before counts with its length."""


def first_alarm(alarms: Sequence[bool] | np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
    """Number of the first window that alarms, counted from 1.

    >>> first_alarm([False, True]), first_alarm([False])
    (2.0, inf)
    """
    positions = np.flatnonzero(np.asarray(alarms))
    return float(positions[0] + 1) if len(positions) else inf


def driftline_delay(change: Change, trial: Trial, reference: Integers, rules: DriftRules) -> float:
    """Delay of the production judge."""
    kind = change.of_kind()
    names = [f"f{number}" for number in range(FEATURES)]
    changed = FeatureSpec(name="f0", kind="text" if kind.values else "number")
    others = [FeatureSpec(name=name, kind="number") for name in names[1:]]
    contract = contract_of([changed, *others], HOUR)
    missing = round(REFERENCE_ROWS * MISSING / (1.0 - MISSING))
    prepared = prepare_reference(
        reference_of(
            summaries(_drawn(reference[None], np.array([missing])), 0, (kind,)),
            REFERENCE_ROWS + missing,
        ),
        contract,
    )
    begin = trial.before - OURS_WARM_UP
    windows = _drawn(trial.counts[begin:], trial.missing[begin:])
    history, alarms = DriftHistory(), []
    for number in range(len(windows)):
        record = window_of(summaries(windows, number, (kind,)), number, HOUR, trial.rows)
        verdict, history = judge_drift(record, prepared, "r", history, rules, contract)
        if number >= OURS_WARM_UP:
            alarms.append(verdict.features[0].outcome in ALARMED)
            if alarms[-1]:
                break
    return first_alarm(alarms)


def _drawn(counts: Integers, missing: Integers) -> DrawnWindows:
    rows = int(counts[0].sum() + missing[0])
    non_finite = np.zeros((len(counts), 1), np.int64)
    return DrawnWindows(rows=rows, missing=missing[:, None], non_finite=non_finite, counts=[counts])


def limit_of(quiet: Floats, rate: float = FALSE_ALARM_RATE) -> float:
    """The value that quiet windows exceed at this rate: the upper 1 %, extrapolated exponentially.

    >>> rng = np.random.default_rng(1)
    >>> bool(8.7 < limit_of(rng.exponential(1.0, 30_000), 1e-4) < 9.7)  # 9.21
    True
    """
    part = 0.01
    start = float(np.quantile(quiet, 1.0 - part))
    mean = float((quiet[quiet > start] - start).mean())
    return start + mean * float(np.log(part / rate))


Distance = Callable[[Integers], Floats]


def distances_of(change: Change, reference: Integers) -> Mapping[str, tuple[Distance, int]]:
    """The single-window detectors of this kind of feature and their numbers of quiet windows."""
    kind = change.of_kind()
    if kind.values:
        tfdv = distances.TfdvDrift(reference, kind.values)
        return {
            "TFDV": (tfdv.of, QUIET_TFDV),
            "Evidently": (lambda counts: distances.jensen_shannon(counts, reference), QUIET),
        }
    values = distances.values_of(kind.buckets)
    tfdv = distances.TfdvDrift(reference, values)
    return {
        "TFDV": (tfdv.of, QUIET_TFDV),
        "Evidently": (lambda counts: distances.wasserstein(counts, reference, values), QUIET),
        "KS": (lambda counts: distances.kolmogorov_smirnov(counts, reference), QUIET),
    }


def series_of(change: Change, trial: Trial) -> Floats:
    """The series for the detectors of series: the missing share if it changes, else the mean, both
    in standard errors of a window."""
    if change.missing != MISSING:
        error = sqrt(MISSING * (1.0 - MISSING) / trial.rows)
        return (trial.missing / trial.rows - MISSING) / error
    values, shares = distances.values_of(change.of_kind().buckets), change.shares(-1)
    mean = float(shares @ values)
    sd = float(np.sqrt(shares @ (values - mean) ** 2))
    n = trial.counts.sum(axis=1)
    series: Floats = (trial.counts @ values / n - mean) / sd * np.sqrt(n)
    return series


def quiet_series(change: Change, rng: np.random.Generator, rows: int) -> Floats:
    """Long quiet series of the same law."""
    shape = (QUIET_SERIES, FEATURES * WINDOWS)
    if change.missing != MISSING:
        error = sqrt(MISSING * (1.0 - MISSING) / rows)
        return (rng.binomial(rows, MISSING, shape) / rows - MISSING) / error
    return rng.standard_normal(shape)


@dataclass(frozen=True, slots=True)
class SeriesDetector:
    """A detector of series with the setting that keeps the budget."""

    name: str
    settings: Mapping[str, float]


def tuned(river: Competitor, quiet: Floats) -> tuple[SeriesDetector, ...]:
    """Page-Hinkley and ADWIN at the budget, by bisection over the logarithm of their setting."""

    def alarm_rate(name: str, settings: Mapping[str, float]) -> float:
        _, detections = river.request({"action": name, "settings": settings}, {"values": quiet})
        return len(detections["series"]) / quiet.size

    def search(
        name: str, setting: str, low: float, high: float, fixed: Mapping[str, float]
    ) -> SeriesDetector:
        rising = setting == "delta"
        for _ in range(7):
            middle = sqrt(low * high)
            too_often = alarm_rate(name, {**fixed, setting: middle}) > FALSE_ALARM_RATE
            low, high = (low, middle) if too_often == rising else (middle, high)
        # Take the side that keeps the budget.
        return SeriesDetector(name, {**fixed, setting: low if rising else high})

    return (
        search("page-hinkley", "threshold", 4.0, 40.0, {"delta": 0.5}),
        search("adwin", "delta", 1e-6, 0.5, {"clock": 1}),
    )


def measure(
    change: Change, rows: int, *, trials: int, seed: int, river: Competitor | None
) -> list[Delay]:
    """Delays of every detector; without `river` only Driftline and single-window distances.

    The trials use several references. The single-window limits are tuned anew for each of them.
    """
    rng = np.random.default_rng([seed, rows])
    delays: dict[str, list[float]] = {}
    detectors = (
        ()
        if river is None or change.of_kind().values
        else [(river, detector) for detector in tuned(river, quiet_series(change, rng, rows))]
    )
    for _ in range(REFERENCES * change.streams):
        reference = rng.multinomial(REFERENCE_ROWS, change.shares(-1))
        streams = [
            draw(change, rng, rows, WARM_UP, change.horizon)
            for _ in range(max(1, trials // REFERENCES))
        ]
        for name, cell in _window_delays(change, rows, reference, streams, rng).items():
            delays.setdefault(name, []).extend(cell)
        for client, detector in detectors:
            cell = _series_delays(client, detector, change, streams)
            delays.setdefault(detector.name, []).extend(cell)
    return [
        Delay(
            change=change.name,
            rows=rows,
            detector=name,
            windows=float(np.median(cell)),
            mean=float(np.minimum(cell, change.horizon).mean()),
        )
        for name, cell in delays.items()
    ]


def _window_delays(
    change: Change, rows: int, reference: Integers, streams: list[Trial], rng: np.random.Generator
) -> dict[str, list[float]]:
    """Delays of Driftline and of single-window distances, under one reference."""
    delays = {
        name: [driftline_delay(change, trial, reference, rules) for trial in streams]
        for name, rules in (("ours", FLOORS_OFF), ("ours, floors", DEFAULT_FLOORS))
    }
    for name, (distance, quiet_windows) in distances_of(change, reference).items():
        if change.missing != MISSING:
            delays[name] = [inf for _ in streams]  # these distances use values only
            continue
        quiet = rng.multinomial(rows, change.shares(-1), quiet_windows)
        limit = limit_of(distance(quiet))
        delays[name] = [
            first_alarm(distance(trial.counts[trial.before :]) > limit) for trial in streams
        ]
    return delays


def _series_delays(
    river: Competitor, detector: SeriesDetector, change: Change, streams: list[Trial]
) -> list[float]:
    """Delays of one detector of series."""
    values = np.array([series_of(change, trial) for trial in streams])
    head = {"action": detector.name, "settings": detector.settings}
    _, detections = river.request(head, {"values": values})
    times, series = detections["times"], detections["series"]
    return [
        min((float(t - WARM_UP + 1) for t in times[series == at] if t >= WARM_UP), default=inf)
        for at in range(len(streams))
    ]
