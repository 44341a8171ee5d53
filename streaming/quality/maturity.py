"""The maturity curve: which share of the labels has come at which age, learnt from the past.

Predictions without a label are censored at their age, so the curve is a life table: in each step
of age, labels that came over predictions that were still waiting, among windows that are old
enough to have lived through the step whole (Kaplan & Meier, JASA 53, 1958; in steps Cutler &
Ederer 1958). Some labels never come; shares are of those that had come at the horizon.

The curve says when most labels are there, not that the early ones are like the late ones. Where
labels of one outcome come sooner (a refund within the hour, its absence after a month), figures
on early labels are biased; so nothing is judged before a window is mature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streaming.contracts.quality import MaturityPoint
from streaming.grid import Floats, Integers

_STEPS = 60
_SHORTEST = 500.0
"""The first step ends at the horizon over this."""
_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrivals:
    """When the labels of one window came."""

    window_end: float
    predictions: int
    by_step: Integers
    """Labels by step of age, see `steps`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """What was learnt; `known` is False until enough windows were followed to the horizon."""

    ages: Floats
    shares: Floats
    """Of the labels that had come at the horizon; while not known, of all predictions."""
    known: bool
    ever: float
    """Share of the predictions whose label comes at all."""
    windows: int

    def age_of(self, share: float, horizon: float) -> float:
        """The age at which `share` of the labels has come; the horizon while that is not known."""
        if not self.known:
            return horizon
        return float(self.ages[np.argmax(self.shares >= share - 1e-12)])

    def share_at(self, age: float) -> float:
        """Share of the labels that has come at `age`; 1 at the horizon."""
        if age >= self.ages[-1]:
            return 1.0
        return float(np.interp(age, self.ages, self.shares, left=0.0))

    def points(self) -> tuple[MaturityPoint, ...]:
        """A dozen points, as part of a record."""
        if not self.known:
            return ()
        start = int(np.argmax(self.shares > 0.0))
        stop = int(np.argmax(self.shares >= 1.0 - 1e-12))
        at = np.unique(np.linspace(start, max(stop, start), _SHOWN).astype(np.int64))
        return tuple(
            MaturityPoint(age_seconds=float(self.ages[k]), share=float(self.shares[k])) for k in at
        )


def steps(horizon: float) -> Floats:
    """Upper ends of the steps of age, seconds: geometric, the last one is the horizon."""
    return np.asarray(np.geomspace(horizon / _SHORTEST, horizon, _STEPS), np.float64)


def arrivals(window_end: float, predictions: int, ages: Floats, horizon: float) -> Arrivals:
    """Count the ages at which the labels of one window came; later ones are left out."""
    edges = steps(horizon)
    place = np.searchsorted(edges, ages[ages <= horizon])
    by_step = np.bincount(place, minlength=_STEPS)[:_STEPS].astype(np.int64)
    return Arrivals(window_end=window_end, predictions=predictions, by_step=by_step)


def later(before: Arrivals, predictions: int, ages: Floats, horizon: float) -> Arrivals:
    """The same window after more predictions and labels have come."""
    more = arrivals(before.window_end, predictions, ages, horizon)
    return replace(more, by_step=before.by_step + more.by_step)


def learn(windows: Sequence[Arrivals], *, now: float, horizon: float, least: int) -> Curve:
    """The curve as known at `now`.

    Parameters
    ----------
    windows:
        Of the past, in any order; those that are too young for a step do not count in it.
    horizon:
        Labels that come later are not used.
    least:
        Windows that must have lived to the horizon before the curve is believed.

    >>> ages = np.random.default_rng(1).exponential(10.0, 900)
    >>> past = [arrivals(0.0, 1000, ages, 100.0) for _ in range(3)]
    >>> curve = learn(past, now=200.0, horizon=100.0, least=3)
    >>> round(curve.ever, 2), 25.0 < curve.age_of(0.95, 100.0) < 40.0
    (0.9, True)
    """
    edges = steps(horizon)
    there = [one for one in windows if one.predictions > 0]
    if not there:
        return Curve(ages=edges, shares=np.zeros(_STEPS), known=False, ever=0.0, windows=0)
    by_step = np.array([one.by_step for one in there])
    before = np.cumsum(by_step, axis=1) - by_step
    waiting = np.array([one.predictions for one in there])[:, None] - before
    lived = np.array([now - one.window_end for one in there])[:, None] >= edges
    at_risk = (waiting * lived).sum(axis=0)
    came = (by_step * lived).sum(axis=0)
    hazard = np.divide(came, at_risk, out=np.zeros(_STEPS), where=at_risk > 0)
    shares = np.asarray(1.0 - np.cumprod(1.0 - hazard), np.float64)
    followed = int(lived[:, -1].sum())
    known = followed >= least and shares[-1] > 0.0
    return Curve(
        ages=edges,
        shares=shares / shares[-1] if known else shares,
        known=known,
        ever=float(shares[-1]),
        windows=followed,
    )
