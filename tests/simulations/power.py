"""How soon a change is found, at the same false-alarm budget for everybody.

One of 20 features changes; each detector may raise one false alarm in 30 days of one-hour windows
over all 20, so one in 14,400 windows of a feature. Limits of the others are tuned on quiet windows
of the same stream, separately for each size of a window: single-window distances by the upper 1 %
of quiet windows, extended exponentially; Page-Hinkley's threshold and ADWIN's delta by search.
Ours are those that ship, from the budget alone.
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
from tests.competitors.peer import Peer
from tests.simulations import distances
from tests.simulations.changes import MISSING, Change, Trial, draw
from tests.simulations.draws import Drawn
from tests.simulations.records import contract_of, reference_of, summaries, window_of

FEATURES, HOUR, WINDOWS = 20, 3_600.0, 720
SIZES = 200, 1_000, 10_000
"""Rows of a window."""
REFERENCE, REFERENCES = 200_000, 4
WARM, OURS_WARM = 200, 20
"""Windows before the change: detectors that learn the mean get more than we need."""
QUIET, QUIET_TFDV, QUIET_SERIES = 30_000, 10_000, 60
RARE = 1.0 / (FEATURES * WINDOWS)
FLOORS_OFF = DriftRules(wobble_sd=0.0, suspected_sd=0.0, drifted_sd=0.0)
DEFAULT_FLOORS = DriftRules(wobble_sd=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """Windows until a change is found."""

    change: str
    rows: int
    detector: str
    windows: float
    """Their median; infinite when most trials end before."""
    mean: float
    """A trial that ends before counts as long as it lasted."""


def first(alarms: Sequence[bool] | np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
    """Number of the first window that alarms, from 1.

    >>> first([False, True]), first([False])
    (2.0, inf)
    """
    found = np.flatnonzero(np.asarray(alarms))
    return float(found[0] + 1) if len(found) else inf


def ours(change: Change, trial: Trial, reference: Integers, rules: DriftRules) -> float:
    """Delay of the judge that ships."""
    kind = change.of_kind()
    names = [f"f{at}" for at in range(FEATURES)]
    spec = FeatureSpec(name="f0", kind="text" if kind.values else "number")
    rest = [FeatureSpec(name=name, kind="number") for name in names[1:]]
    contract = contract_of([spec, *rest], HOUR)
    missing = round(REFERENCE * MISSING / (1.0 - MISSING))
    prepared = prepare_reference(
        reference_of(
            summaries(_drawn(reference[None], np.array([missing])), 0, (kind,)), REFERENCE + missing
        ),
        contract,
    )
    begin = trial.before - OURS_WARM
    windows = _drawn(trial.counts[begin:], trial.missing[begin:])
    history, alarms = DriftHistory(), []
    for at in range(len(windows)):
        record = window_of(summaries(windows, at, (kind,)), at, HOUR, trial.rows)
        verdict, history = judge_drift(record, prepared, "r", history, rules, contract)
        if at >= OURS_WARM:
            alarms.append(verdict.features[0].outcome in ALARMED)
            if alarms[-1]:
                break
    return first(alarms)


def _drawn(counts: Integers, missing: Integers) -> Drawn:
    rows = int(counts[0].sum() + missing[0])
    none = np.zeros((len(counts), 1), np.int64)
    return Drawn(rows=rows, missing=missing[:, None], non_finite=none, counts=[counts])


def limit_of(quiet: Floats, rare: float = RARE) -> float:
    """The value that quiet windows pass as often as `rare`: the upper 1 %, extended exponentially.

    >>> rng = np.random.default_rng(1)
    >>> bool(8.7 < limit_of(rng.exponential(1.0, 30_000), 1e-4) < 9.7)  # 9.21
    True
    """
    part = 0.01
    start = float(np.quantile(quiet, 1.0 - part))
    mean = float((quiet[quiet > start] - start).mean())
    return start + mean * float(np.log(part / rare))


Distance = Callable[[Integers], Floats]


def distances_of(change: Change, reference: Integers) -> Mapping[str, tuple[Distance, int]]:
    """The single-window detectors of this kind of feature and the quiet windows they get."""
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
    """What the detectors of series watch: the missing share if it changes, else the mean, both in
    standard errors of a window."""
    if change.missing != MISSING:
        spread = sqrt(MISSING * (1.0 - MISSING) / trial.rows)
        return (trial.missing / trial.rows - MISSING) / spread
    values, shares = distances.values_of(change.of_kind().buckets), change.shares(-1)
    mean = float(shares @ values)
    sd = float(np.sqrt(shares @ (values - mean) ** 2))
    n = trial.counts.sum(axis=1)
    found: Floats = (trial.counts @ values / n - mean) / sd * np.sqrt(n)
    return found


def quiet_series(change: Change, rng: np.random.Generator, rows: int) -> Floats:
    """Long quiet series of the same law."""
    shape = (QUIET_SERIES, FEATURES * WINDOWS)
    if change.missing != MISSING:
        spread = sqrt(MISSING * (1.0 - MISSING) / rows)
        return (rng.binomial(rows, MISSING, shape) / rows - MISSING) / spread
    return rng.standard_normal(shape)


@dataclass(frozen=True, slots=True)
class Series:
    """A detector of series with the setting that keeps the budget."""

    name: str
    do: str
    settings: Mapping[str, float]


def tuned(peer: Peer, quiet: Floats) -> tuple[Series, ...]:
    """Page-Hinkley and ADWIN at the budget, by bisection over the logarithm of their setting."""

    def rate(do: str, settings: Mapping[str, float]) -> float:
        _, found = peer.ask({"do": do, "settings": settings}, {"values": quiet})
        return len(found["series"]) / quiet.size

    def search(do: str, name: str, low: float, high: float, fixed: Mapping[str, float]) -> Series:
        rising = name == "delta"
        for _ in range(7):
            middle = sqrt(low * high)
            often = rate(do, {**fixed, name: middle}) > RARE
            low, high = (low, middle) if often == rising else (middle, high)
        # the side that keeps the budget
        return Series(do, do, {**fixed, name: low if rising else high})

    return (
        search("page-hinkley", "threshold", 4.0, 40.0, {"delta": 0.5}),
        search("adwin", "delta", 1e-6, 0.5, {"clock": 1}),
    )


def measure(change: Change, rows: int, *, trials: int, seed: int, peer: Peer | None) -> list[Delay]:
    """Delays of every detector; without a peer process only ours and single windows.

    The trials are spread over several references, for each of which the others are tuned anew.
    """
    rng = np.random.default_rng([seed, rows])
    found: dict[str, list[float]] = {}
    series = (
        ()
        if peer is None or change.of_kind().values
        else [(peer, one) for one in tuned(peer, quiet_series(change, rng, rows))]
    )
    for _ in range(REFERENCES * change.streams):
        reference = rng.multinomial(REFERENCE, change.shares(-1))
        streams = [
            draw(change, rng, rows, WARM, change.horizon)
            for _ in range(max(1, trials // REFERENCES))
        ]
        for name, delays in _delays(change, rows, reference, streams, rng).items():
            found.setdefault(name, []).extend(delays)
        for ask, detector in series:
            found.setdefault(detector.name, []).extend(_in_series(ask, detector, change, streams))
    return [
        Delay(
            change=change.name,
            rows=rows,
            detector=name,
            windows=float(np.median(delays)),
            mean=float(np.minimum(delays, change.horizon).mean()),
        )
        for name, delays in found.items()
    ]


def _delays(
    change: Change, rows: int, reference: Integers, streams: list[Trial], rng: np.random.Generator
) -> dict[str, list[float]]:
    """Of the judge and of single windows' distances, under one reference."""
    found = {
        name: [ours(change, trial, reference, rules) for trial in streams]
        for name, rules in (("ours", FLOORS_OFF), ("ours, floors", DEFAULT_FLOORS))
    }
    for name, (distance, quiet) in distances_of(change, reference).items():
        if change.missing != MISSING:
            found[name] = [inf for _ in streams]  # they look at values only
            continue
        still = rng.multinomial(rows, change.shares(-1), quiet)
        limit = limit_of(distance(still))
        found[name] = [first(distance(one.counts[one.before :]) > limit) for one in streams]
    return found


def _in_series(peer: Peer, detector: Series, change: Change, streams: list[Trial]) -> list[float]:
    """Of one detector of series."""
    table = np.array([series_of(change, one) for one in streams])
    asked = {"do": detector.do, "settings": detector.settings}
    _, seen = peer.ask(asked, {"values": table})
    times, which = seen["times"], seen["series"]
    return [
        min((float(t - WARM + 1) for t in times[which == at] if t >= WARM), default=inf)
        for at in range(len(streams))
    ]
