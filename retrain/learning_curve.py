"""Whether more labelled rows would make a better model, from a few small fits. Pure.

A model's score grows with the rows it is trained on as ``a - b · rows^-c`` (Viering and Loog, *The
Shape of Learning Curves*, IEEE TPAMI 45, 2023). The curve is fitted to scores of small fits, drawn
again and again within their errors, so what it promises comes with an interval. Three outcomes:
*enough* (twice the rows would gain less than is asked for), *more* (they would gain more), and
*unclear*, which decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from retrain.intervals import Floats
from streaming.contracts.records import SmallFit

DRAWS = 400
"""Number of curves that are fitted."""

MIN_FITS = 4
"""Smallest number of different sizes; three would be met exactly by any curve."""

_EXPONENTS = np.linspace(0.05, 1.5, 30)
"""The exponents that are tried; an error of a mean has 0.5."""

Outcome = Literal["enough", "more", "unclear"]


class RowsDecision(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the rows suffice, and what more of them would gain."""

    outcome: Outcome
    reason: str
    """One sentence with the values that decided."""
    gain: float = 0.0
    """Expected gain from `factor` times the rows."""
    low: float = 0.0
    """Lower end of its 90 % interval."""
    high: float = 0.0
    """Upper end of its 90 % interval."""


def enough_rows(
    fits: Sequence[SmallFit],
    *,
    rows: int,
    smallest_gain: float,
    factor: float = 2.0,
    seed: int = 0,
) -> RowsDecision:
    """Whether `rows` rows suffice.

    Parameters
    ----------
    fits:
        Fits on different numbers of rows.
    rows:
        Rows that are there now.
    smallest_gain:
        A gain of the score that is worth the wait for ``factor × rows`` rows.
    factor:
        By how much the rows would grow.
    seed:
        Seed of the draws.

    Examples
    --------
    >>> sizes = (250, 500, 1_000, 2_000)
    >>> flat = [SmallFit(rows=n, score=0.9 - 5.0 / n, error=0.001) for n in sizes]
    >>> enough_rows(flat, rows=2_000, smallest_gain=0.01).outcome
    'enough'
    >>> steep = [SmallFit(rows=n, score=0.9 - 4.0 / n**0.5, error=0.001) for n in sizes]
    >>> enough_rows(steep, rows=2_000, smallest_gain=0.01).outcome
    'more'
    """
    usable = [fit for fit in fits if fit.rows > 0 and np.isfinite([fit.score, fit.error]).all()]
    if len({fit.rows for fit in usable}) < MIN_FITS or any(fit.error <= 0.0 for fit in usable):
        return RowsDecision(
            outcome="unclear",
            reason=f"{len(usable)} usable fits; {MIN_FITS} sizes with known errors are needed.",
        )
    gains = _gains(usable, rows, factor, seed)
    low, gain, high = (float(x) for x in np.quantile(gains, (0.05, 0.5, 0.95)))
    text = f"{factor:g} × {rows} rows would gain {gain:+.4f} [{low:+.4f}, {high:+.4f}]"
    outcome: Outcome = "unclear"
    if high < smallest_gain:
        outcome, reason = "enough", f"{text}, less than {smallest_gain}."
    elif low > smallest_gain:
        outcome, reason = "more", f"{text}, more than {smallest_gain}."
    else:
        reason = f"{text}; whether that exceeds {smallest_gain} is not clear."
    return RowsDecision(outcome=outcome, reason=reason, gain=gain, low=low, high=high)


def _gains(fits: Sequence[SmallFit], rows: int, factor: float, seed: int) -> Floats:
    """The gain from ``factor × rows`` of each drawn curve, [DRAWS].

    For a given exponent the curve is linear in a and b, so each draw is one weighted regression for
    each exponent, and the exponent that fits best stays. A curve that falls has no gain.
    """
    generator = np.random.default_rng(seed)
    sizes = np.asarray([fit.rows for fit in fits], np.float64)
    errors = np.asarray([fit.error for fit in fits])
    scores = np.asarray([fit.score for fit in fits])
    drawn = scores + errors * generator.normal(size=(DRAWS, len(fits)))
    weights = 1.0 / errors**2
    best = np.full(DRAWS, np.inf)
    gains = np.zeros(DRAWS)
    for exponent in _EXPONENTS:
        powers = sizes**-exponent
        centre = np.average(powers, weights=weights)
        spread = np.sum(weights * (powers - centre) ** 2)
        means = drawn @ weights / weights.sum()
        slopes = (drawn - means[:, np.newaxis]) @ (weights * (powers - centre)) / spread
        slopes = np.minimum(slopes, 0.0)
        fitted = means[:, np.newaxis] + slopes[:, np.newaxis] * (powers - centre)
        squares = ((drawn - fitted) ** 2) @ weights
        better = squares < best
        best[better] = squares[better]
        gain = -slopes * (rows**-exponent - (factor * rows) ** -exponent)
        gains[better] = gain[better]
    return gains
