"""Between-day standard deviations of healthy features, one for each family of tests.

On a healthy day the distribution of a numeric feature is tilted by a random amount along its
normal scores (`location`), along their squares (`dispersion`) and along everything else (`shape`).
Each amount has a standard deviation over days, in the unit of effects. The between-day variance of
a mean score with variance 1 follows from its correlations r with the first two:

    tau^2 = location^2 r1^2 + dispersion^2 r2^2 + remainder^2 (1 - r1^2 - r2^2),

where the remainder is `shape` for the shape test and `values` for the share of a single value.
Shares of categories vary as in a Dirichlet distribution, by `categories` in every direction. Shares
of missing, non-finite and unseen values vary by `missing` on the probit scale.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from functools import lru_cache
from math import isfinite

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import DayVariance


@dataclass(frozen=True, slots=True, kw_only=True)
class BetweenDaySd:
    """The between-day standard deviation of each family of tests."""

    location: float
    dispersion: float
    shape: float
    values: float
    """Of the shares of single values of a numeric feature, beyond what location and dispersion
    explain."""
    categories: float
    missing: float
    """Of the shares of missing, non-finite and unseen values."""

    def __post_init__(self) -> None:
        """Refuse negative and non-finite values."""
        for value in astuple(self):
            if not isfinite(value) or value < 0:
                raise ConfigurationError(
                    f"A between-day standard deviation is {value}; it must be 0 or more."
                )

    def __str__(self) -> str:
        """One figure when all families share it, else each family by name.

        >>> print(BetweenDaySd.uniform(0.05))
        0.050 sd
        >>> print(BetweenDaySd(
        ...     location=0.02, dispersion=0.01, shape=0.0, values=0.0, categories=0.01, missing=0.03
        ... ))
        location 0.020, dispersion 0.010, shape 0.000, values 0.000, categories 0.010, missing 0.030 sd
        """  # noqa: E501
        if len(set(astuple(self))) == 1:
            return f"{self.location:.3f} sd"
        named = (f"{field.name} {getattr(self, field.name):.3f}" for field in fields(self))
        return f"{', '.join(named)} sd"

    @classmethod
    def uniform(cls, sd: float) -> BetweenDaySd:
        """The same standard deviation for every family."""
        return _uniform(sd)

    @classmethod
    def estimated(cls, estimate: DayVariance) -> BetweenDaySd:
        """The figures of an estimate; families without one use the location's."""

        def or_location(figure: float | None) -> float:
            return estimate.location if figure is None else figure

        return cls(
            location=estimate.location,
            dispersion=or_location(estimate.dispersion),
            shape=or_location(estimate.shape),
            values=or_location(estimate.values),
            categories=or_location(estimate.categories),
            missing=or_location(estimate.missing),
        )

    def score_variance(
        self, location_share: float, dispersion_share: float, remainder_sd: float
    ) -> float:
        """Between-day variance of a mean score.

        Parameters
        ----------
        location_share, dispersion_share:
            Squared correlations of the score with the location and dispersion scores.
        remainder_sd:
            Between-day standard deviation of the remaining part.

        Examples
        --------
        >>> round(BetweenDaySd.uniform(0.05).score_variance(0.5, 0.2, 0.05) ** 0.5, 3)
        0.05
        """
        remainder = max(0.0, 1.0 - location_share - dispersion_share)
        return (
            self.location**2 * location_share
            + self.dispersion**2 * dispersion_share
            + remainder_sd**2 * remainder
        )


@lru_cache(maxsize=64)
def _uniform(sd: float) -> BetweenDaySd:
    return BetweenDaySd(location=sd, dispersion=sd, shape=sd, values=sd, categories=sd, missing=sd)
