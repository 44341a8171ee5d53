"""What familiar distances come to when nothing has changed.

Each distance is positive then, the more so the fewer rows there are. With K cells, F the
reference's distribution function, and n and m rows, the means are

* PSI (K - 1)(1/n + 1/m), Jensen-Shannon in bits that over 8 ln 2 (both are chi-squares to first
  order; Yurdakul 2018);
* L-infinity the mean of the largest of K normal |errors|, sd sqrt(p (1 - p) (1/n + 1/m));
* Kolmogorov-Smirnov sqrt(pi/2) ln 2 sqrt(1/n + 1/m), the mean of Kolmogorov's distribution (1933),
  or less for a feature of few values;
* Wasserstein sqrt(2/pi) sqrt(1/n + 1/m) times the integral of sqrt(F (1 - F)) (del Barrio, Gine &
  Matran 1999).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi, sqrt

import numpy as np
from scipy import special

from streaming.grid import Floats

_FEW = 12
"""Distribution functions with more steps are as good as continuous."""
_KOLMOGOROV = sqrt(pi / 2.0) * log(2.0)
_X = np.linspace(0.0, 6.0, 121)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What distances are expected to be without drift, for 1/n + 1/m = 1.

    PSI and Jensen-Shannon shrink with 1/n + 1/m, the others with its root.
    """

    psi: float
    l_infinity: float
    kolmogorov_smirnov: float = 0.0
    wasserstein: float = 0.0


def expected_of_categories(before: Floats) -> Expected:
    """For cells with these shares."""
    there = before[before > 0.0]
    apart = there[:1] if len(there) == 2 else there  # two cells err by the same
    return Expected(
        psi=max(0.0, float(len(there) - 1)),
        l_infinity=largest_error(np.sqrt(apart * (1.0 - apart))),
    )


def expected_of_numbers(before: Floats, below: Floats, widths: Floats) -> Expected:
    """For cells with these shares, on a line with this distribution function."""
    spread = np.sqrt(np.clip(below * (1.0 - below), 0.0, None))
    steps = np.unique(spread[(below > 0.0) & (below < 1.0)])
    few = largest_error(steps) if len(steps) <= _FEW else _KOLMOGOROV
    cells = expected_of_categories(before)
    return Expected(
        psi=cells.psi,
        l_infinity=cells.l_infinity,
        kolmogorov_smirnov=min(few, _KOLMOGOROV),
        wasserstein=sqrt(2.0 / pi) * float(spread @ widths),
    )


def largest_error(deviations: Floats) -> float:
    """Mean of the largest of independent |normal| errors with these deviations.

    >>> round(largest_error(np.array([1.0])), 3), round(largest_error(np.array([1.0, 1.0])), 3)
    (0.798, 1.128)
    """
    widest = float(deviations.max()) if len(deviations) else 0.0
    if widest == 0.0:
        return 0.0
    inside = special.erf(widest * _X[:, None] / deviations[deviations > 0.0] / sqrt(2.0))
    return widest * float(np.trapezoid(1.0 - inside.prod(axis=1), _X))
