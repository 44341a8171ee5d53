"""The CUSUMs of one feature: of its location and of its missing values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streaming.contracts.records import FeatureSummary
from streaming.drift.budget import BudgetAllocation, location_test
from streaming.drift.history import CusumStates, FeatureHistory
from streaming.drift.prepared_reference import PreparedFeature
from streaming.drift.statistics.statistic import TestStatistic
from streaming.drift.thresholds.cusum import CusumReading, update_cusum
from streaming.drift.thresholds.cusum_missing import (
    Proportion,
    has_missing_cusum,
    update_proportion_cusum,
)


@dataclass(frozen=True, slots=True)
class FeatureCusum:
    """The CUSUM readings of one feature after a window."""

    location: tuple[CusumReading, ...]
    """Readings of the location CUSUMs; empty for a feature without a location."""
    missing: CusumReading | None
    """Reading of the CUSUM of missing values; None where hardly any are expected."""

    @property
    def readings(self) -> tuple[CusumReading, ...]:
        """All readings."""
        return self.location if self.missing is None else (*self.location, self.missing)

    def states(self, previous: CusumStates) -> CusumStates:
        """The states to remember; a CUSUM that was not updated keeps its previous state."""
        return CusumStates(
            tuple(reading.state for reading in self.location) or previous.location,
            previous.missing if self.missing is None else self.missing.state,
        )


def update_feature_cusum(
    tests: Sequence[TestStatistic],
    window: FeatureSummary,
    reference: PreparedFeature,
    budget: BudgetAllocation,
    history: FeatureHistory,
) -> FeatureCusum:
    """Add a window to the CUSUMs of a feature."""
    rules, location = budget.rules, location_test(tests)
    readings: tuple[CusumReading, ...] = ()
    if location is not None:
        readings = update_cusum(
            history.cusum.location,
            effect=location.effect,
            n=location.n,
            variance_ratio=location.variance_ratio,
            between_day_ratio=location.n * rules.day_sd.location**2,
            window_start=history.window_start,
            oldest=history.oldest,
            rules=budget.cusum,
            floor=rules.suspected_sd,
            min_limit=rules.of * rules.suspected_sd / 2.0,
        )
    if not has_missing_cusum(tests):
        return FeatureCusum(readings, None)
    proportion = Proportion(
        count=window.missing,
        n=window.rows,
        reference_count=reference.missing,
        m=reference.rows,
        effective_sample_fraction=reference.effective_sample_fraction(reference.rows),
    )
    missing = update_proportion_cusum(
        history.cusum.missing,
        proportion,
        budget.missing_cusum,
        rules,
        window_start=history.window_start,
        oldest=history.oldest,
    )
    return FeatureCusum(readings, missing)
