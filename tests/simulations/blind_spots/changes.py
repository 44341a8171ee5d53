"""The families of change, their sizes, the kinds that they make sense for, and right names.

A size is one that a user would want to hear of: half a standard deviation, one row in ten of a
producer that was deployed wrongly, a share that doubles. A change is named rightly when the test
that leads the verdict, or the kind of the schema's finding, is one of `names`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from streaming.grid import Floats
from tests.simulations.blind_spots.kinds import (
    CATEGORIES,
    CONTINUOUS,
    FLAGS,
    KINDS,
    TEXTS,
    ZEROS,
    Column,
    SweepKind,
    random_texts,
)

MISSING = 0.01
"""Share of missing values before any change."""
Apply = Callable[[np.random.Generator, SweepKind, Column], Column]
"""Changes drawn values."""
NEW = frozenset({"unseen", "value", "frequent_value", "range", "unseen_value"})
"""Names of a change that brings values which the reference does not have or hardly has."""
LOST = frozenset({"missing", "non_finite", "presence_drop", "missing_column"})
SPREAD = frozenset({"dispersion", "shape"})
MIXTURE = frozenset({"value", "frequent_value", "shape", "category"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepChange:
    """One family of change at one size."""

    family: str
    size: str
    kinds: tuple[str, ...]
    apply: Apply
    names: frozenset[str] = field(default_factory=frozenset)
    missing: float = MISSING
    """Share of missing values after the change."""
    hidden: tuple[str, ...] = ()
    """Kinds whose distribution the change leaves as it is, so that no test of one feature can find
    it."""

    @property
    def name(self) -> str:
        """Family and size."""
        return f"{self.family}, {self.size}" if self.size else self.family


def unchanged(_: np.random.Generator, __: SweepKind, column: Column) -> Column:
    """The same values."""
    return column


def scored(of: Callable[[Floats], Floats]) -> Apply:
    """Draws values anew, with changed normal scores."""
    return lambda rng, kind, column: kind.values(of(rng.standard_normal(len(column))))


def _tail(rng: np.random.Generator, kind: SweepKind, column: Column) -> Column:
    return part(0.05, scored(lambda z: 3.0 * z))(rng, kind, column)


def part(share: float, apply: Apply) -> Apply:
    """The change in a random part of the rows."""

    def changed(rng: np.random.Generator, kind: SweepKind, column: Column) -> Column:
        rows = rng.random(len(column)) < share
        return np.where(rows, apply(rng, kind, column), column)

    return changed


def constant(value: float | str) -> Apply:
    """One value in all rows."""
    return lambda _, __, column: np.full(len(column), value)


def _usual(_: np.random.Generator, kind: SweepKind, column: Column) -> Column:
    """An ordinary value in all rows: the most frequent text, else the upper median."""
    if kind.is_text:
        return np.full(len(column), kind.vocabulary[0] if kind.vocabulary else "none")
    usual: Column = np.full(len(column), kind.values(np.array([0.1]))[0])
    return usual


def _replay(rng: np.random.Generator, _: SweepKind, column: Column) -> Column:
    row: Column = np.full(len(column), column[rng.integers(len(column))])
    return row


def _twice(_: np.random.Generator, __: SweepKind, column: Column) -> Column:
    half = column[: (len(column) + 1) // 2]
    return np.concatenate([half, half])[: len(column)]


def _fewer_zeros(share: float) -> Apply:
    def changed(rng: np.random.Generator, _: SweepKind, column: Column) -> Column:
        return np.where(rng.random(len(column)) < share, 0.0, column)

    return changed


def _clipped(_: np.random.Generator, kind: SweepKind, column: Column) -> Column:
    clipped: Column = np.minimum(column, kind.values(np.array([1.645]))[0])
    return clipped


def _truncated(rng: np.random.Generator, kind: SweepKind, column: Column) -> Column:
    limit = kind.values(np.array([1.2816]))[0]
    kept = column[column <= limit]
    redrawn: Column = kept[rng.integers(len(kept), size=len(column))]
    return redrawn


def _rounded(_: np.random.Generator, kind: SweepKind, column: Column) -> Column:
    step = 0.25 * kind.sd if kind.name in CONTINUOUS else 1.0
    return np.round(column / step) * step


def _lost_value(rng: np.random.Generator, kind: SweepKind, column: Column) -> Column:
    """An ordinary value no longer comes: other rows take its place."""
    if kind.is_text:
        lost: float | str = kind.vocabulary[min(3, len(kind.vocabulary) - 1)]
    else:
        lost = float(kind.values(np.array([0.5]))[0])
    other = column[column != lost]
    return np.where(column == lost, other[rng.integers(len(other), size=len(column))], column)


def _swapped(rng: np.random.Generator, kind: SweepKind, column: Column) -> Column:
    if kind.is_text:
        first, second = kind.vocabulary[0], kind.vocabulary[2]
    elif kind.name in FLAGS:
        return 1.0 - column
    else:
        values, counts = np.unique(column, return_counts=True)
        ranked = values[np.argsort(-counts)]
        first, second = ranked[0], ranked[2]
    return np.where(column == first, second, np.where(column == second, first, column))


def _one_mode(rng: np.random.Generator, kind: SweepKind, column: Column) -> Column:
    scores = rng.standard_normal(len(column))
    gone = (scores > 0.0) & (rng.random(len(column)) < 0.5)
    return kind.values(np.where(gone, -scores, scores))


def _upper(_: np.random.Generator, __: SweepKind, column: Column) -> Column:
    return np.char.upper(column)


def _cut(_: np.random.Generator, __: SweepKind, column: Column) -> Column:
    return column.astype("<U8").astype(column.dtype)


def _random(rng: np.random.Generator, _: SweepKind, column: Column) -> Column:
    return random_texts(rng, len(column))


def _rare(rng: np.random.Generator, kind: SweepKind, column: Column) -> Column:
    """The values outside the ten most frequent ones become one new value."""
    return np.where(np.isin(column, kind.vocabulary[:10]), column, "unknown")


_POSITIVE = tuple(name for name in CONTINUOUS if name != "normal")
_COUNTED = ("counts", *ZEROS)
_NUMBERS = (*CONTINUOUS, *_COUNTED, "integer codes")
_EVERYTHING = tuple(KINDS)
_DISCRETE = ("counts", "integer codes", *CATEGORIES)
_UNIT = frozenset({"location", "range", "dispersion", "unseen"})


def _change(
    family: str, size: str, kinds: tuple[str, ...], apply: Apply, names: object, **more: object
) -> SweepChange:
    return SweepChange(
        family=family,
        size=size,
        kinds=kinds,
        apply=apply,
        names=frozenset(names),  # type: ignore[call-overload]
        **more,  # type: ignore[arg-type]
    )


_OF_LAWS: tuple[SweepChange, ...] = (
    _change("nothing", "", _EVERYTHING, unchanged, ()),
    _change(
        "mean", "+0.5 sd", (*CONTINUOUS, *_COUNTED), scored(lambda z: z + 0.5),
        {"location", "zero"},
    ),
    _change(
        "mean", "-2 sd", (*CONTINUOUS, "counts"), scored(lambda z: z - 2.0),
        {"location", "zero"},
    ),
    _change("scale", "x 1.5", CONTINUOUS, scored(lambda z: 1.5 * z), {"dispersion"}),
    _change("scale", "x 0.7", CONTINUOUS, scored(lambda z: 0.7 * z), {"dispersion"}),
    _change(
        "tail", "5 % of rows 3 times as wide", (*CONTINUOUS, "counts", "60 % zeros"), _tail,
        SPREAD | {"range", "unseen"},
    ),
    _change(
        "mode appears", "10 % of rows", (*CONTINUOUS, "counts"),
        part(0.1, scored(lambda z: 0.8 + 0.02 * z)), MIXTURE,
    ),
    _change("mode goes", "half of it", ("bimodal",), _one_mode, {"location", "shape"}),
    _change(
        "zeros", "in 5 % of rows", (*CONTINUOUS, "counts", "integer codes"),
        _fewer_zeros(0.05), NEW | {"zero"},
    ),
    _change("zeros", "half of the others", ZEROS, _fewer_zeros(0.5), {"zero", "location"}),
    _change(
        "default value", "in 10 % of rows", (*CONTINUOUS, "counts"), part(0.1, _usual),
        MIXTURE | {"unseen"},
    ),
    _change(
        "unknown sentinel", "-999 in 2 % of rows", _NUMBERS, part(0.02, constant(-999.0)), NEW
    ),
    _change("unknown sentinel", "n/a in 2 % of rows", TEXTS, part(0.02, constant("n/a")), NEW),
)  # fmt: skip
"""Changes of a number's law, and new values."""

_OF_PROCESSING: tuple[SweepChange, ...] = (
    _change("clipping", "of the upper 5 %", CONTINUOUS, _clipped, MIXTURE | {"dispersion"}),
    _change(
        "truncation", "of the upper 10 %", (*CONTINUOUS, "counts"), _truncated,
        SPREAD | {"location", "value"},
    ),
    _change("unit", "x 1.609", (*CONTINUOUS, *ZEROS), lambda _, __, x: 1.609 * x, _UNIT),
    _change(
        "unit", "x 100 in 5 % of rows", (*CONTINUOUS, *_COUNTED),
        part(0.05, lambda _, __, x: 100.0 * x), _UNIT - {"location"},
    ),
    _change(
        "rounding", "to 0.25 sd", CONTINUOUS, _rounded, MIXTURE | {"unseen", "zero"}
    ),
    _change("rounding", "to whole numbers", ZEROS, _rounded, MIXTURE | {"unseen", "zero"}),
    _change(
        "duplicates", "one row in 20 % of rows", (*_NUMBERS, *TEXTS), part(0.2, _replay),
        MIXTURE | {"unseen", "unseen_value"},
    ),
    _change("duplicates", "every row twice", _EVERYTHING, _twice, (), hidden=_EVERYTHING),
    _change(
        "constant", "", _EVERYTHING, _usual,
        MIXTURE | {"dispersion", "unseen", "zero", "unseen_value"},
    ),
    _change(
        "sign flip", "", (*CONTINUOUS, *_COUNTED, "integer codes"), lambda _, __, x: -x,
        {"location", "range", "unseen", "zero", "shape"}, hidden=("normal",),
    ),
    _change(
        "sign flip", "in 5 % of rows", (*_POSITIVE, *_COUNTED, "integer codes"),
        part(0.05, lambda _, __, x: -x), NEW | SPREAD,
    ),
)  # fmt: skip
"""Changes by which values are processed."""

_OF_VALUES: tuple[SweepChange, ...] = (
    _change(
        "flag", "0.5 -> 2 %", FLAGS[1:], part(0.015, constant(1.0)),
        {"value", "zero", "category", "location"},
    ),
    _change(
        "flag", "20 -> 30 %", FLAGS[:1], part(0.125, constant(1.0)),
        {"value", "zero", "category", "location"},
    ),
    _change(
        "value lost", "", (*_DISCRETE, "default and texts"), _lost_value,
        MIXTURE | {"unseen"},
    ),
    _change("category swap", "", _DISCRETE[1:] + FLAGS, _swapped, MIXTURE | {"zero", "location"}),
    _change(
        "new category", "90 in 2 % of rows", ("integer codes",), part(0.02, constant(90.0)),
        NEW,
    ),
    _change("case change", "in 10 % of rows", TEXTS, part(0.1, _upper), NEW | {"category"},
           hidden=("free text",)),
    _change("case change", "", TEXTS, _upper, NEW | {"category"}, hidden=("free text",)),
    _change("texts cut", "to 8 characters", TEXTS, _cut, NEW | {"category"}),
    _change("random texts", "in 10 % of rows", TEXTS, part(0.1, _random), NEW | {"category"},
           hidden=("free text",)),
    _change("random texts", "", TEXTS, _random, NEW | {"category"}, hidden=("free text",)),
    _change(
        "one new text", "instead of the rare ones",
        ("Zipf categories", "default and texts", "free text"), _rare, NEW | {"category"},
    ),
    _change(
        "one new text", "in 5 % of rows", TEXTS, part(0.05, constant("unknown")),
        NEW | {"category"},
    ),
    _change("missing", "1 -> 3 %", _EVERYTHING, unchanged, LOST, missing=0.03),
    _change("missing", "1 -> 60 %", _EVERYTHING, unchanged, LOST, missing=0.6),
    _change("missing", "as NaN in 4 % of rows", CONTINUOUS, part(0.04, constant(np.nan)), LOST),
    _change("missing", "as empty text in 4 % of rows", TEXTS, part(0.04, constant("")), LOST),
)  # fmt: skip
"""Changes of flags, categories and texts, and lost values."""

CHANGES: tuple[SweepChange, ...] = (*_OF_LAWS, *_OF_PROCESSING, *_OF_VALUES)
"""Every change."""
