"""Expected values of the drift distances without drift.

Each distance is positive then, and larger for fewer rows. With K bins, F the reference's
distribution function, and n and m rows, the means are

* PSI: (K - 1)(1/n + 1/m). Jensen-Shannon in bits: the same over 8 ln 2. Both are chi-squares to
  first order (Yurdakul 2018).
* L-infinity: the mean of the largest of K normal |errors| with sd sqrt(p (1 - p) (1/n + 1/m)).
* Kolmogorov-Smirnov: sqrt(pi/2) ln 2 sqrt(1/n + 1/m), the mean of Kolmogorov's distribution (1933),
  or less for a feature of few values.
* Wasserstein: sqrt(2/pi) sqrt(1/n + 1/m) times the integral of sqrt(F (1 - F)) (del Barrio, Gine &
  Matran 1999).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi, sqrt

import numpy as np
from scipy import special

from streaming.grid import Floats

_FEW_STEPS = 12
"""A distribution function with more steps than this is treated as continuous."""
_KOLMOGOROV = sqrt(pi / 2.0) * log(2.0)
_X = np.linspace(0.0, 6.0, 121)


@dataclass(frozen=True, slots=True, kw_only=True)
class NullExpectation:
    """Expected distances without drift, for 1/n + 1/m = 1.

    PSI and Jensen-Shannon are proportional to 1/n + 1/m, the others to its root.
    """

    psi: float
    l_infinity: float
    kolmogorov_smirnov: float = 0.0
    wasserstein: float = 0.0


def expected_categorical(shares: Floats) -> NullExpectation:
    """The expectation for bins with these shares of the reference."""
    filled = shares[shares > 0.0]
    independent = filled[:1] if len(filled) == 2 else filled  # two bins have the same error
    return NullExpectation(
        psi=max(0.0, float(len(filled) - 1)),
        l_infinity=expected_max_error(np.sqrt(independent * (1.0 - independent))),
    )


def expected_numeric(shares: Floats, cumulative: Floats, widths: Floats) -> NullExpectation:
    """The expectation for bins with these shares, on a line with this distribution function."""
    sd = np.sqrt(np.clip(cumulative * (1.0 - cumulative), 0.0, None))
    steps = np.unique(sd[(cumulative > 0.0) & (cumulative < 1.0)])
    by_steps = expected_max_error(steps) if len(steps) <= _FEW_STEPS else _KOLMOGOROV
    of_bins = expected_categorical(shares)
    return NullExpectation(
        psi=of_bins.psi,
        l_infinity=of_bins.l_infinity,
        kolmogorov_smirnov=min(by_steps, _KOLMOGOROV),
        wasserstein=sqrt(2.0 / pi) * float(sd @ widths),
    )


def expected_max_error(deviations: Floats) -> float:
    """Mean of the largest of independent |normal| errors with these standard deviations.

    >>> round(expected_max_error(np.array([1.0])), 3)
    0.798
    >>> round(expected_max_error(np.array([1.0, 1.0])), 3)
    1.128
    """
    widest = float(deviations.max()) if len(deviations) else 0.0
    if widest == 0.0:
        return 0.0
    inside = special.erf(widest * _X[:, None] / deviations[deviations > 0.0] / sqrt(2.0))
    return widest * float(np.trapezoid(1.0 - inside.prod(axis=1), _X))
