"""Whether users met the arms in the planned ratio: an e-value that is valid at every look.

A split that is not as planned means that users are lost in one arm (crashes, timeouts, predictions
that are not written), and nothing that is measured then compares like with like. Users are counted,
not requests: one user's requests are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma, log

CONCENTRATION = 100.0
"""Weight of the planned ratio in the mixture, in users."""


def log_ratio_evidence(users: Sequence[int], shares: Sequence[int]) -> float:
    """Log e-value against the planned ratio, rounded to six decimals.

    The likelihood under a Dirichlet mixture around the ratio, divided by that under the ratio
    (Lindon & Malek 2022, Anytime-Valid Inference for Multinomial Count Data). It exceeds log(1/α)
    ever with probability at most α, however often it is looked at.

    Parameters
    ----------
    users:
        Users of each arm.
    shares:
        Their planned shares, in any unit.

    Examples
    --------
    >>> log_ratio_evidence([1000, 1010, 490], [2, 2, 1]) < 0
    True
    >>> log_ratio_evidence([5000, 4400], [1, 1]) > log(1000)
    True
    """
    total = sum(shares)
    planned = [share / total for share in shares]
    n = sum(users)
    value = lgamma(CONCENTRATION) - lgamma(CONCENTRATION + n)
    for count, share in zip(users, planned, strict=True):
        prior = CONCENTRATION * share
        value += lgamma(prior + count) - lgamma(prior) - count * log(share)
    return round(value, 6)
