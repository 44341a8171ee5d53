"""Kinds of features for the sweep, as real values: numbers, integers and texts.

A number is G(z) with z standard normal, so a change can act on the score (a shift by half a
standard deviation means the same for every kind) or on the value (rounding, units).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import special

from streaming.contracts.model import FeatureSpec
from streaming.grid import Floats

Column = npt.NDArray[Any]
"""Values of one feature: floats (integers too) or texts; NaN where a number is lost."""
FEATURE = "f0"


@dataclass(frozen=True, eq=False)
class SweepKind:
    """One kind of feature."""

    name: str
    of_scores: Callable[[Floats], Floats] | None = None
    """Values by normal score; None for a text."""
    vocabulary: tuple[str, ...] = ()
    """The values of a text, the most frequent first."""
    weights: tuple[float, ...] = ()
    distinct: float = 0.0
    """Share of the rows of a text that have a value of their own."""
    is_closed: bool = False
    """Whether the schema lists the values of this text."""
    integer: bool = False
    categorical: bool = False
    origin: float = 0.0
    unit: float = 1.0
    """The other detectors read (value - origin) / unit, so that no bucket is too wide for them."""
    cache: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_text(self) -> bool:
        """Whether it is a text."""
        return self.of_scores is None

    @property
    def spec(self) -> FeatureSpec:
        """The feature as in a contract. No pivot: a user sets none."""
        kind: Any = "text" if self.is_text else "integer" if self.integer else "number"
        return FeatureSpec(name=FEATURE, kind=kind, categorical=self.categorical)

    def values(self, scores: Floats) -> Floats:
        """The numbers with these normal scores."""
        assert self.of_scores is not None
        return self.of_scores(scores)

    def draw(self, rng: np.random.Generator, rows: int) -> Column:
        """Values without any change."""
        if not self.is_text:
            return self.values(rng.standard_normal(rows))
        positions = np.searchsorted(self._below, rng.random(rows), side="right")
        texts: Column = self._texts[np.minimum(positions, len(self._texts) - 1)]
        own = rng.random(rows) < self.distinct
        if own.any():
            texts = np.where(own, random_texts(rng, rows), texts)
        return texts

    @cached_property
    def _texts(self) -> Column:
        return np.array(self.vocabulary or ("",))

    @cached_property
    def _below(self) -> Floats:
        weights = np.array(self.weights or (1.0,))
        below: Floats = np.cumsum(weights) / weights.sum()
        return below

    @property
    def sd(self) -> float:
        """Half the distance of the values one standard deviation below and above the median."""
        low, high = self.values(np.array([-1.0, 1.0])).tolist()
        return float(high - low) / 2.0

    def arrow(self, column: Column, missing: npt.NDArray[np.bool_]) -> pa.Array[Any]:
        """The column as the decoder gives it: what is lost in any way (null, NaN, an empty text)
        is null."""
        if self.is_text:
            return pa.array(column.astype(object), pa.string(), mask=missing | (column == ""))
        lost = missing | np.isnan(column)
        if self.integer:
            whole = np.where(lost, 0.0, column).astype(np.int64)
            return pa.array(whole, pa.int64(), mask=lost)
        return pa.array(column, pa.float64(), mask=lost)


def random_texts(rng: np.random.Generator, rows: int) -> Column:
    """Texts that practically never repeat."""
    return np.char.add("note ", rng.integers(0, 2**60, rows).astype(np.str_))


def _sparse(zeros: float) -> Callable[[Floats], Floats]:
    def values(scores: Floats) -> Floats:
        above = (special.ndtr(scores) - zeros) / (1.0 - zeros)
        amounts = np.exp(1.0 + 0.6 * special.ndtri(np.clip(above, 1e-12, 1.0 - 1e-12)))
        return np.where(above > 0.0, np.round(amounts, 2), 0.0)

    return values


def _discrete(values: Floats, shares: Floats) -> Callable[[Floats], Floats]:
    edges = special.ndtri(np.clip(np.cumsum(shares)[:-1] / shares.sum(), 0.0, 1.0))
    return lambda scores: values[np.searchsorted(edges, scores)]


def _bimodal(scores: Floats) -> Floats:
    low, high = scores < 0.0, special.ndtr(scores)
    inside = np.clip(np.where(low, 2.0 * high, 2.0 * high - 1.0), 1e-12, 1.0 - 1e-12)
    mode: Floats = np.where(low, 20.0, 60.0) + np.where(low, 3.0, 5.0) * special.ndtri(inside)
    return mode


def _flag(share: float) -> Callable[[Floats], Floats]:
    return lambda scores: (scores > special.ndtri(1.0 - share)).astype(np.float64)


def _poisson_shares(mean: float) -> Floats:
    values = np.arange(40.0)
    shares: Floats = np.exp(values * np.log(mean) - mean - special.gammaln(values + 1.0))
    return shares


_CODES = 77
_CODE_SHARES = np.random.default_rng(_CODES).permutation(1.0 / np.arange(1.0, _CODES + 1.0))
_FEW = ("Credit card", "Cash", "Mobile app", "Voucher", "Prepaid")
_MANY = tuple(f"Stand {number:02d} north" for number in range(60))
_ZIPF = tuple(f"Customer {number:05d} south" for number in range(5_000))


def _kinds() -> tuple[SweepKind, ...]:
    def number(name: str, of_scores: Callable[[Floats], Floats], **options: Any) -> SweepKind:
        return SweepKind(name, of_scores, **options)

    def text(name: str, values: tuple[str, ...], weights: Any, **options: Any) -> SweepKind:
        return SweepKind(name, None, values, tuple(weights), **options)

    codes = _discrete(np.arange(1.0, _CODES + 1.0, dtype=np.float64), _CODE_SHARES)
    by_rank = [1.0 / rank for rank in range(1, len(_ZIPF) + 1)]
    return (
        number("normal", lambda z: z),
        number("lognormal", lambda z: np.exp(2.0 + z)),
        number("pareto", lambda z: np.maximum(special.ndtr(-z), 1e-12) ** (-1.0 / 1.5)),
        number("uniform", lambda z: 100.0 * special.ndtr(z)),
        number("bimodal", _bimodal),
        number("latitude", lambda z: 41.88 + 0.04 * z, origin=41.88, unit=0.04),
        number("mains frequency", lambda z: 50.0 + 0.02 * z, origin=50.0, unit=0.02),
        number(
            "counts",
            _discrete(np.arange(40.0, dtype=np.float64), _poisson_shares(3.0)),
            integer=True,
        ),
        number("60 % zeros", _sparse(0.6)),
        number("95 % zeros", _sparse(0.95)),
        number("integer codes", codes, integer=True),
        number("flag 20 %", _flag(0.2), integer=True),
        number("flag 0.5 %", _flag(0.005), integer=True),
        number("flag 0.5 %, category", _flag(0.005), integer=True, categorical=True),
        text("few categories", _FEW, (0.4, 0.3, 0.2, 0.08, 0.02), is_closed=True),
        text("many categories", _MANY, by_rank[:60], is_closed=True),
        text("Zipf categories", _ZIPF, by_rank),
        text("default and texts", ("none",), (1.0,), distinct=0.4),
        text("free text", (), (), distinct=1.0),
    )


KINDS: Mapping[str, SweepKind] = {kind.name: kind for kind in _kinds()}
"""Every kind by name."""
CONTINUOUS = (
    *("normal", "lognormal", "pareto", "uniform", "bimodal"),
    *("latitude", "mains frequency"),
)
ZEROS = ("60 % zeros", "95 % zeros")
FLAGS = ("flag 20 %", "flag 0.5 %", "flag 0.5 %, category")
CATEGORIES = ("few categories", "many categories", "Zipf categories")
TEXTS = (*CATEGORIES, "default and texts", "free text")
