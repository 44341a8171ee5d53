"""A reference made ready once, so that judging a window is a few dot products."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import FeatureSummary, ReferenceSummary, Wobble
from streaming.drift.correlation.statistic import PreparedTogether, prepare_together
from streaming.drift.display.histogram import (
    CategoryCells,
    NumberCells,
    category_cells,
    number_cells,
)
from streaming.drift.settings import SHARES_WEIGHT, WEIGHTS_OF_CATEGORIES, WEIGHTS_OF_NUMBERS
from streaming.drift.statistics.categorical import CategoryShares, prepare_categories
from streaming.drift.statistics.rank_scores import (
    DISPERSION,
    LOCATION,
    SHAPE,
    NumberScores,
    prepare_scores,
)
from streaming.drift.statistics.statistic import Evidence
from streaming.drift.thresholds.dependence import Overlap
from streaming.drift.thresholds.min_p import OVERLAPPING


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedFeature:
    """One feature of the reference: its shares and scores, and how its budget is split."""

    name: str
    rows: int
    missing: int
    non_finite: int
    numbers: NumberScores | None
    categories: CategoryShares | None
    weights: Mapping[str, float]
    """By test; they add up to 1."""
    overlaps: Overlap
    cells: NumberCells | CategoryCells | None = None
    """For people's eyes."""
    extra_variance: float = 0.0
    """Persistent error of this yardstick beyond 1/m and the wobble, as a variance in sd units: what
    a shrunk slot of a season adds. It acts as 1/m does."""

    def overlap(self, tests: Iterable[Evidence]) -> float:
        """Union over sum of these tests' false alarms.

        Where shape strays along place and spread only, its hits come to be hits of location and
        dispersion, which it then adds nothing to: so far in the proportion r / (1 + r) of that
        stray to everything else, which is within 2 % of what draws say.
        """
        by_name = {test.name: test for test in tests if test.name in OVERLAPPING}
        found, shape = self.overlaps.among(frozenset(by_name)), by_name.pop("shape", None)
        if shape is None or not {"location", "dispersion"} <= by_name.keys():
            return found
        stray = 1.0 - shape.weights[0] / shape.weights[-1]
        rest = sum(self.weights[name] for name in by_name)
        contained = self.overlaps.among(frozenset(by_name)) * rest / (rest + self.weights["shape"])
        return found + stray * min(0.0, contained - found)

    def worth(self, m: int) -> float:
        """The part of `m` rows that this yardstick's extra error leaves."""
        return 1.0 / (1.0 + m * self.extra_variance)

    @property
    def counted(self) -> int:
        """Rows with a usable value."""
        return self.rows - self.missing - self.non_finite


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedReference:
    """A `ReferenceSummary` with the scores of its features."""

    version: int
    features: Mapping[str, PreparedFeature]
    season: str = ""
    """The slot it is for, in words."""
    wobble: Wobble | None = None
    """Learnt from the days before the reference."""
    together: PreparedTogether | None = None
    """How features move together; None where no rows were sampled, and for a slot."""

    def in_season(self, name: str) -> PreparedReference:
        """The same, said to be for a slot."""
        return replace(self, season=name)


def prepare_reference(
    reference: ReferenceSummary,
    contract: ModelContract,
    extra_variance: Mapping[str, float] | None = None,
) -> PreparedReference:
    """Compute what only depends on the reference; for the features that are judged.

    `extra_variance` is by feature, see `PreparedFeature`.
    """
    extra = extra_variance or {}
    specs = {spec.name: spec for spec in contract.features if spec.judged}
    return PreparedReference(
        version=reference.version,
        features={
            summary.name: _prepare(summary, specs[summary.name], extra.get(summary.name, 0.0))
            for summary in reference.features
            if summary.name in specs
        },
        wobble=reference.wobble,
        together=prepare_together(reference.sample, contract.features),
    )


def _prepare(summary: FeatureSummary, spec: FeatureSpec, extra: float) -> PreparedFeature:
    numbers = prepare_scores(summary.grid) if summary.grid else None
    categories = prepare_categories(summary.categories) if summary.categories else None
    cells: NumberCells | CategoryCells | None = None
    weights: dict[str, float] = {}
    shares = ["missing"] + (["non_finite"] if spec.kind == "number" else [])
    rest = 1.0
    if numbers is not None:
        cells = number_cells(numbers, 1.0 / (1.0 + numbers.m * extra))
        shares += ["range", "unseen"]
        shares += ["zero"] if numbers.pivot == 0.0 else []
        shares += ["value"] if len(numbers.heavy) else []
        there = {
            "location": numbers.usable[LOCATION],
            "dispersion": numbers.usable[DISPERSION],
            "shape": any(numbers.usable[SHAPE]),
        }
        weights = {name: part for name, part in WEIGHTS_OF_NUMBERS.items() if there[name]}
        rest = SHARES_WEIGHT
    elif categories is not None:
        cells = category_cells(categories, 1.0 / (1.0 + categories.m * extra))
        shares += ["unseen"]
        weights = dict(WEIGHTS_OF_CATEGORIES)
        rest = 1.0 - sum(weights.values())
    weights |= {name: rest / len(shares) for name in shares}
    total = sum(weights.values())
    weights = {name: part / total for name, part in weights.items()}
    return PreparedFeature(
        name=summary.name,
        rows=summary.rows,
        missing=summary.missing,
        non_finite=summary.non_finite,
        numbers=numbers,
        categories=categories,
        weights=weights,
        overlaps=Overlap(numbers or categories, weights),
        cells=cells,
        extra_variance=extra,
    )
