"""Between-day variance of scores and shares that follows from a feature's daily offset.

To first order, a day with an offset d along the normal score H1 changes the mean of every score s
by d <s, H1>, its covariance with H1 under the reference. The same holds for H2. So the persistent
covariance of the shape components L is

    location^2 a a' + dispersion^2 b b' + shape^2 (I - a a' - b b'),  a = <L, H1>, b = <L, H2>.

The squared correlation of a score h with the indicator of a single value of share p is
h^2 p / (1 - p).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streaming.drift.day_variance import BetweenDaySd
from streaming.drift.statistics.rank_scores import DISPERSION, LOCATION, SHAPE, NumericScores
from streaming.drift.statistics.scalars import ndtri
from streaming.grid import Floats, Integers


def shape_variances(
    scores: NumericScores, used: npt.NDArray[np.bool_], day_sd: BetweenDaySd
) -> tuple[float, ...]:
    """Between-day variances of the `used` shape components along their principal axes, ascending.

    The scores keep the result, so it is computed once for a reference.
    """
    key = used.tobytes(), day_sd
    if key not in scores.variance_cache:
        scores.variance_cache[key] = _shape_variances(scores, used, day_sd)
    return scores.variance_cache[key]


def _shape_variances(
    scores: NumericScores, used: npt.NDArray[np.bool_], day_sd: BetweenDaySd
) -> tuple[float, ...]:
    bucket_scores = scores.scores[:, : len(scores.buckets)]
    components: Floats = bucket_scores[SHAPE][used]
    along = (components * scores.shares) @ bucket_scores[[LOCATION, DISPERSION]].T
    excess = np.array([day_sd.location**2, day_sd.dispersion**2]) - day_sd.shape**2
    covariance = day_sd.shape**2 * np.eye(len(along)) + (along * excess) @ along.T
    return tuple(np.maximum(0.0, np.linalg.eigvalsh(covariance)).tolist())


def tail_variance(share: float, day_sd: BetweenDaySd) -> float:
    """Between-day variance of the probit of a tail share of a numeric feature.

    The probit changes with the location, and with the dispersion; the dispersion effect is sqrt(2)
    times a stretch of the values.
    """
    return day_sd.location**2 + day_sd.dispersion**2 * ndtri(share) ** 2 / 2.0


def gap_variances(
    scores: NumericScores, columns: Integers, shares: Floats, day_sd: BetweenDaySd
) -> Floats:
    """`value_variance` of values with the scores in `columns` and these shares.

    The reference may have seen some of these values in few rows, or not at all.
    """
    squares = scores.scores[[LOCATION, DISPERSION]][:, columns] ** 2 * shares / (1.0 - shares)
    return np.array(
        [
            day_sd.score_variance(location, dispersion, day_sd.values)
            for location, dispersion in np.minimum(1.0, squares).T.tolist()
        ]
    )


def value_variances(scores: NumericScores, day_sd: BetweenDaySd) -> tuple[float, ...]:
    """`value_variance` of the heavy values, and last of zero if the reference has it.

    The scores keep the result, so it is computed once for a reference.
    """
    key = b"values", day_sd
    if key not in scores.variance_cache:
        positions = scores.heavy.tolist() + [scores.zero] * (scores.zero >= 0)
        scores.variance_cache[key] = tuple(
            value_variance(scores, position, day_sd) for position in positions
        )
    return scores.variance_cache[key]


def value_variance(scores: NumericScores, position: int, day_sd: BetweenDaySd) -> float:
    """Between-day variance of the share of a single value, in units of p (1 - p)."""
    share = float(scores.shares[position])
    if share >= 1.0:
        return day_sd.values**2
    location, dispersion = (
        scores.scores[[LOCATION, DISPERSION], position] ** 2 * share / (1.0 - share)
    )
    return day_sd.score_variance(float(location), float(dispersion), day_sd.values)
