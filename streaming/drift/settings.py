"""What counts as drift: the settings of the judgement."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Literal
from zoneinfo import available_timezones

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import Wobble
from streaming.drift.day_variance import Strays, alike

DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRules:
    """Budget, floors and patience of the judgement on one model.

    A feature is beyond its limit in a window when a test is significant at the limit that the
    budget leaves for it and the effect reaches a floor. More data makes the limit smaller, never
    the floor.
    """

    false_alarms: float = 1.0
    """Budget: false alarms allowed per `period_seconds`, over all features and windows."""
    period_seconds: float = 30 * DAY
    suspected_sd: float = 0.25
    """Smallest effect, in standard deviations, that is ever reported. 0 switches floors off."""
    drifted_sd: float = 0.5
    """Smallest effect that asks for a retrain."""
    share_floor: float = 0.005
    """A share (missing, unseen, …) that grows from nothing to this much is `suspected_sd`."""
    sustained: int = 3
    """So many of the last `of` windows must be beyond the limit."""
    of: int = 5
    min_rows: int = 100
    """Fewer rows of a feature, in window or reference, are not judged."""
    wobble_sd: float = 0.05
    """How far a healthy feature strays from its reference from day to day, in standard
    deviations. It does not average out within a day, so limits add it to the sampling error.
    0.05 keeps limits under the floor from about 1,000 rows; history replaces it (`season.days`)."""
    learn_wobble: bool = True
    """Whether a reference that has learnt its wobble from history replaces `wobble_sd`."""
    strays: Strays | None = None
    """The same for each family of tests; None takes `wobble_sd` for all of them."""
    wobble_seconds: float = DAY
    """How long such a stray lasts."""
    single_share: float = 0.2
    """Part of the budget for suspecting after one window; …"""
    slow_share: float = 0.2
    """… and for what creeps in over many (`slow`); the rest is for `sustained` windows, which
    leave most of it to the others where no error persists (`lanes`)."""
    season: Literal["none", "hour-of-day", "hour-of-week"] = "none"
    """Whether the yardstick is that of the window's hour."""
    season_zone: str = "UTC"
    """Time zone of the hours, as the tz database names it."""
    season_sd: float = 0.3
    """How far hours are taken to differ, in standard deviations, until history tells."""
    season_weeks: float = 8.0
    """So far back history counts."""
    max_dead_letters: float = 0.5
    """A window of which a larger share could not be read is not judged."""
    max_missing: float = 0.5
    """A feature that is missing in more rows than this, and of which the schema complains, is
    broken, not drifted."""

    def with_wobble(self, learnt: Wobble | None) -> DriftRules:
        """These rules with the wobble that a reference has learnt, if they want it."""
        if learnt is None or not self.learn_wobble:
            return self
        return replace(self, wobble_sd=learnt.sd, strays=Strays.learnt(learnt))

    @property
    def wobble(self) -> Strays:
        """How far a healthy feature strays, by family of tests."""
        return self.strays or alike(self.wobble_sd)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or isinstance(value, (str, Strays)):
                continue
            if not isfinite(value) or value < 0:
                raise ConfigurationError(f"drift.{field.name} is {value}; it must be 0 or more.")
        problem = next((text for wrong, text in self._checks() if wrong), None)
        if problem:
            raise ConfigurationError(problem)

    def _checks(self) -> tuple[tuple[bool, str], ...]:
        return (
            (
                min(self.false_alarms, self.period_seconds, self.wobble_seconds) <= 0,
                "drift.false_alarms, period_seconds and wobble_seconds must be above 0.",
            ),
            (
                not 1 <= self.sustained <= self.of <= 60,
                f"drift.sustained is {self.sustained} of {self.of}; "
                "it must be at least 1 and at most all of up to 60 windows.",
            ),
            (
                self.suspected_sd > self.drifted_sd,
                f"drift.suspected_sd is {self.suspected_sd}; "
                f"it must not exceed drifted_sd ({self.drifted_sd}).",
            ),
            (
                not 0 < self.share_floor < 0.5,
                f"drift.share_floor is {self.share_floor}; it must lie between 0 and 0.5.",
            ),
            (
                min(self.single_share, self.slow_share) <= 0
                or self.single_share + self.slow_share >= 1,
                f"drift.single_share is {self.single_share} and slow_share {self.slow_share}; "
                "both must be above 0 and leave something for sustained hits.",
            ),
            (
                self.season not in ("none", "hour-of-day", "hour-of-week"),
                f"drift.season is {self.season!r}; choose none, hour-of-day or hour-of-week.",
            ),
            (
                self.season_zone != "UTC" and self.season_zone not in available_timezones(),
                f"drift.season_zone is {self.season_zone!r}, which is no time zone; "
                "write it like America/Chicago.",
            ),
            (
                self.min_rows < 20,
                f"drift.min_rows is {self.min_rows}; fewer than 20 rows prove nothing.",
            ),
        )


WEIGHTS_OF_NUMBERS = {"location": 0.4, "dispersion": 0.2, "shape": 0.2}
WEIGHTS_OF_CATEGORIES = {"category": 0.4, "value": 0.2}
SHARES_WEIGHT = 0.2
"""How the budget of one feature is split over its tests; the share tests have this much of a
number's and the remaining 0.4 of a category's, in equal parts."""
