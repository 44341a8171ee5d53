"""The maturity curve: the share of labels that has arrived at each age, learnt from past windows.

Predictions without a label are censored at their age, so the curve is a life table. For each step
of age it divides the labels that arrived by the predictions that were still without one, over the
windows that are old enough to have passed the whole step (Kaplan & Meier, JASA 53, 1958; in steps
Cutler & Ederer 1958). Some labels never arrive, so shares refer to the labels that had arrived at
the horizon.

The curve gives when most labels have arrived. It does not show that early labels are like late
ones. Where the labels of one class arrive sooner (a refund within the hour, its absence after a
month), figures from early labels are biased. So nothing is judged before a window is mature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streaming.contracts.quality_records import MaturityPoint
from streaming.grid import Floats, Integers

_STEPS = 60
_FIRST_STEP_DIVISOR = 500.0
"""The first step ends at the horizon divided by this."""
_RECORD_POINTS = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelArrivals:
    """Arrival ages of the labels of one window."""

    window_end: float
    predictions: int
    by_step: Integers
    """Labels by step of age, see `age_steps`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaturityCurve:
    """The share of labels that has arrived at each age."""

    ages: Floats
    """Upper ends of the steps of age, in seconds."""
    shares: Floats
    """Share of the labels that had arrived at the horizon; while not known, of all predictions."""
    known: bool
    """Whether enough windows were observed up to the horizon."""
    labelled_share: float
    """Share of the predictions that get a label at all."""
    windows: int
    """Windows observed up to the horizon."""

    def age_of(self, share: float, horizon: float) -> float:
        """The age at which `share` of the labels has arrived; the horizon while not known."""
        if not self.known:
            return horizon
        return float(self.ages[np.argmax(self.shares >= share - 1e-12)])

    def share_at(self, age: float) -> float:
        """The share of the labels that has arrived at `age`; 1 at the horizon."""
        if age >= self.ages[-1]:
            return 1.0
        return float(np.interp(age, self.ages, self.shares, left=0.0))

    def points(self) -> tuple[MaturityPoint, ...]:
        """A dozen points of the curve, as parts of a record; none while it is not known."""
        if not self.known:
            return ()
        start = int(np.argmax(self.shares > 0.0))
        stop = int(np.argmax(self.shares >= 1.0 - 1e-12))
        at = np.unique(np.linspace(start, max(stop, start), _RECORD_POINTS).astype(np.int64))
        return tuple(
            MaturityPoint(age_seconds=float(self.ages[k]), share=float(self.shares[k])) for k in at
        )


def age_steps(horizon: float) -> Floats:
    """Upper ends of the steps of age, in seconds: geometric, the last one is the horizon."""
    return np.asarray(np.geomspace(horizon / _FIRST_STEP_DIVISOR, horizon, _STEPS), np.float64)


def count_arrivals(
    window_end: float, predictions: int, ages: Floats, horizon: float
) -> LabelArrivals:
    """Counts the ages at which the labels of one window arrived; ages above the horizon are
    left out."""
    edges = age_steps(horizon)
    step = np.searchsorted(edges, ages[ages <= horizon])
    by_step = np.bincount(step, minlength=_STEPS)[:_STEPS].astype(np.int64)
    return LabelArrivals(window_end=window_end, predictions=predictions, by_step=by_step)


def add_arrivals(
    arrivals: LabelArrivals, predictions: int, ages: Floats, horizon: float
) -> LabelArrivals:
    """The arrivals of the same window with more labels added; `predictions` is the new total."""
    added = count_arrivals(arrivals.window_end, predictions, ages, horizon)
    return replace(added, by_step=arrivals.by_step + added.by_step)


def learn_curve(
    windows: Sequence[LabelArrivals], *, now: float, horizon: float, min_windows: int
) -> MaturityCurve:
    """The maturity curve as known at `now`.

    Parameters
    ----------
    windows:
        Past windows in any order; a window counts only in the steps that it has passed.
    horizon:
        Oldest age of a label, in seconds; later labels are not used.
    min_windows:
        Windows that must have been observed up to the horizon before the curve is known.

    >>> ages = np.random.default_rng(1).exponential(10.0, 900)
    >>> past = [count_arrivals(0.0, 1000, ages, 100.0) for _ in range(3)]
    >>> curve = learn_curve(past, now=200.0, horizon=100.0, min_windows=3)
    >>> round(curve.labelled_share, 2), 25.0 < curve.age_of(0.95, 100.0) < 40.0
    (0.9, True)
    """
    edges = age_steps(horizon)
    served = [window for window in windows if window.predictions > 0]
    if not served:
        return MaturityCurve(
            ages=edges, shares=np.zeros(_STEPS), known=False, labelled_share=0.0, windows=0
        )
    by_step = np.array([window.by_step for window in served])
    before = np.cumsum(by_step, axis=1) - by_step
    waiting = np.array([window.predictions for window in served])[:, None] - before
    passed = np.array([now - window.window_end for window in served])[:, None] >= edges
    at_risk = (waiting * passed).sum(axis=0)
    arrived = (by_step * passed).sum(axis=0)
    hazard = np.divide(arrived, at_risk, out=np.zeros(_STEPS), where=at_risk > 0)
    shares = np.asarray(1.0 - np.cumprod(1.0 - hazard), np.float64)
    observed = int(passed[:, -1].sum())
    known = observed >= min_windows and shares[-1] > 0.0
    return MaturityCurve(
        ages=edges,
        shares=shares / shares[-1] if known else shares,
        known=known,
        labelled_share=float(shares[-1]),
        windows=observed,
    )
