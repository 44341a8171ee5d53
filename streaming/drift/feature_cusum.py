"""What creeps: the slow lane of one feature, of its location and of its missing values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streaming.contracts.records import FeatureSummary
from streaming.drift.budget import Limits, location_of
from streaming.drift.prepared_reference import PreparedFeature
from streaming.drift.statistics.statistic import Evidence
from streaming.drift.thresholds.cusum import Slow, Sums, slow_lane
from streaming.drift.thresholds.cusum_missing import Share, is_summed, share_lane


@dataclass(frozen=True, slots=True)
class FeatureSums:
    """The sums of one feature that are remembered."""

    location: tuple[Sums, ...] = ()
    """One for each speed."""
    missing: Sums | None = None


@dataclass(frozen=True, slots=True)
class Creeping:
    """What the slow lane says after a window."""

    location: tuple[Slow, ...]
    """Empty for a feature that has none."""
    missing: Slow | None
    """None where hardly a missing value is expected."""

    @property
    def lanes(self) -> tuple[Slow, ...]:
        """All that was said."""
        return self.location if self.missing is None else (*self.location, self.missing)

    def after(self, before: FeatureSums) -> FeatureSums:
        """The sums to remember; what was not added to stays as it was `before`."""
        return FeatureSums(
            tuple(one.sums for one in self.location) or before.location,
            before.missing if self.missing is None else self.missing.sums,
        )


def creeping(
    tests: Sequence[Evidence],
    now: FeatureSummary,
    reference: PreparedFeature,
    limits: Limits,
    before: FeatureSums,
    *,
    window_start: float,
    oldest: float,
) -> Creeping:
    """Add a window to the sums of a feature; sums from before `oldest` no longer count."""
    rules, location = limits.rules, location_of(tests)
    moved: tuple[Slow, ...] = ()
    if location is not None:
        moved = slow_lane(
            before.location,
            effect=location.effect,
            n=location.n,
            persistence=location.persistence,
            daily=location.n * rules.wobble.place**2,
            window_start=window_start,
            oldest=oldest,
            lanes=limits.slow,
            floor=rules.suspected_sd,
            least=rules.of * rules.suspected_sd / 2.0,
        )
    if not is_summed(tests):
        return Creeping(moved, None)
    share = Share(
        count=now.missing,
        n=now.rows,
        before=reference.missing,
        m=reference.rows,
        worth=reference.worth(reference.rows),
    )
    missing = share_lane(
        before.missing,
        share,
        limits.shares,
        rules,
        window_start=window_start,
        oldest=oldest,
    )
    return Creeping(moved, missing)
