"""Looks at growing data: when they are, and how much of the error probability each may spend.

Looks come when the data have grown by a fixed ratio, and look k may be wrong with probability
α · 6 / (π² k²). These sum to α over any number of looks, so the promise holds at every one of them
(alpha spending; Lan & DeMets, Biometrika 70, 1983). Between two looks the last one's result stands.
"""

from __future__ import annotations

import math

RATIO = 1.25
"""Growth of the data between two looks."""


def look_number(size: float, first: float) -> int:
    """Number of the look that is due at this size of the data; 0 before the first.

    >>> [look_number(size, 10.0) for size in (9.9, 10.0, 12.4, 12.5, 100.0)]
    [0, 1, 1, 2, 11]
    """
    if size < first:
        return 0
    return 1 + math.floor(math.log(size / first) / math.log(RATIO) + 1e-9)


def spent(alpha: float, look: int) -> float:
    """Error probability of one look.

    >>> 0.0099 < sum(spent(0.01, look) for look in range(1, 1000)) <= 0.01
    True
    """
    return alpha * 6.0 / (math.pi * look) ** 2
