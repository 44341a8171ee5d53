"""How far healthy features stray from day to day, by what it is that strays.

A healthy day tilts the law of a numeric feature by `place` along its normal scores, by `spread`
along their squares and by `shape` along everything else, each a standard deviation over days in
the unit of effects. What a mean score with variance 1 strays by follows from its correlations r
with the first two:

    tau^2 = place^2 r1^2 + spread^2 r2^2 + rest^2 (1 - r1^2 - r2^2),

where the rest is `shape` for the shape test and `values` for the share of a single value. Shares
of categories stray like those of a Dirichlet law, by `categories` in every direction, and those
of missing, broken and unseen values by `shares` on the probit scale.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from functools import lru_cache
from math import isfinite

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import Wobble


@dataclass(frozen=True, slots=True, kw_only=True)
class Strays:
    """The wobble of each family of tests, in standard deviations."""

    place: float
    spread: float
    shape: float
    values: float
    """Of single values of a number beyond what place and spread explain."""
    categories: float
    shares: float
    """Of missing, non-finite and unseen values."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for value in astuple(self):
            if not isfinite(value) or value < 0:
                raise ConfigurationError(f"A wobble is {value}; it must be 0 or more.")

    def __str__(self) -> str:
        """In words.

        >>> print(alike(0.05))
        0.050 sd
        >>> print(Strays(
        ...     place=0.02, spread=0.01, shape=0.0, values=0.0, categories=0.01, shares=0.03
        ... ))
        place 0.020, spread 0.010, shape 0.000, values 0.000, categories 0.010, shares 0.030 sd
        """
        if len(set(astuple(self))) == 1:
            return f"{self.place:.3f} sd"
        named = (f"{field.name} {getattr(self, field.name):.3f}" for field in fields(self))
        return f"{', '.join(named)} sd"

    @classmethod
    def learnt(cls, wobble: Wobble) -> Strays:
        """What history taught; a family of which it taught nothing strays as places do."""

        def of(family: float | None) -> float:
            return wobble.sd if family is None else family

        return cls(
            place=wobble.sd,
            spread=of(wobble.spread),
            shape=of(wobble.shape),
            values=of(wobble.values),
            categories=of(wobble.categories),
            shares=of(wobble.shares),
        )

    def variance(self, with_place: float, with_spread: float, rest: float) -> float:
        """Of a mean score whose correlations with place and spread have these squares.

        >>> round(alike(0.05).variance(0.5, 0.2, 0.05) ** 0.5, 3)
        0.05
        """
        left = max(0.0, 1.0 - with_place - with_spread)
        return self.place**2 * with_place + self.spread**2 * with_spread + rest**2 * left


@lru_cache(maxsize=64)
def alike(sd: float) -> Strays:
    """The same for every family."""
    return Strays(place=sd, spread=sd, shape=sd, values=sd, categories=sd, shares=sd)
