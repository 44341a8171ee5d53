"""What place, spread and the rest of a day's stray do to the other scores of a number.

To first order a day that strays by d along the normal score H1 changes the mean of every score s
by d <s, H1>, its covariance with H1 under the reference; the same holds for H2. So the persistent
covariance of the shape's components L is

    place^2 a a' + spread^2 b b' + shape^2 (I - a a' - b b'),  a = <L, H1>, b = <L, H2>,

and with an indicator of share p and score h the squared correlation is h^2 p / (1 - p).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from streaming.drift.day_variance import Strays
from streaming.drift.statistics.rank_scores import DISPERSION, LOCATION, SHAPE, NumberScores
from streaming.grid import Floats


def shape_variances(
    scores: NumberScores, used: npt.NDArray[np.bool_], strays: Strays
) -> tuple[float, ...]:
    """Variances of the persistent error along the axes of the `used` components of shape,
    ascending; computed once for a reference."""
    key = used.tobytes(), strays
    if key not in scores.lasting:
        scores.lasting[key] = _variances(scores, used, strays)
    return scores.lasting[key]


def _variances(
    scores: NumberScores, used: npt.NDArray[np.bool_], strays: Strays
) -> tuple[float, ...]:
    known = scores.scores[:, : len(scores.buckets)]
    components: Floats = known[SHAPE][used]
    along = (components * scores.shares) @ known[[LOCATION, DISPERSION]].T
    moved = np.array([strays.place**2, strays.spread**2]) - strays.shape**2
    covariance = strays.shape**2 * np.eye(len(along)) + (along * moved) @ along.T
    return tuple(np.maximum(0.0, np.linalg.eigvalsh(covariance)).tolist())


def tail_variance(share: float, strays: Strays) -> float:
    """Variance over days of the probit of the share beyond an end of a number's values: it moves
    with the place, and with the spread, whose effect is sqrt(2) of a stretch."""
    return strays.place**2 + strays.spread**2 * float(special.ndtri(share)) ** 2 / 2.0


def value_variance(scores: NumberScores, place: int, strays: Strays) -> float:
    """Variance over days of a single value's share, in units of p (1 - p)."""
    share = float(scores.shares[place])
    if share >= 1.0:
        return strays.values**2
    of_place, of_spread = scores.scores[[LOCATION, DISPERSION], place] ** 2 * share / (1.0 - share)
    return strays.variance(float(of_place), float(of_spread), strays.values)
