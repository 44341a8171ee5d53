"""Settings of the drift judgement: what counts as drift."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Literal
from zoneinfo import available_timezones

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import DayVariance
from streaming.drift.day_variance import BetweenDaySd

DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRules:
    """False-alarm budget, effect floors and alarm rules for one model.

    A feature exceeds its limit in a window when a test is significant at the level that the budget
    leaves for it and its effect reaches a floor. More data lowers the limit, never the floor.
    """

    false_alarms: float = 1.0
    """False-alarm budget: allowed false alarms per `period_seconds`, over all features and
    windows."""
    period_seconds: float = 30 * DAY
    """Period of the false-alarm budget, in seconds."""
    suspected_sd: float = 0.25
    """Smallest effect that is ever reported, in standard deviations. 0 switches floors off."""
    drifted_sd: float = 0.5
    """Smallest effect that can start a retrain, in standard deviations."""
    share_floor: float = 0.005
    """A share (missing, unseen, …) that grows from zero to this value has the effect
    `suspected_sd`."""
    sustained: int = 3
    """Number of the last `of` windows that must exceed the limit for a sustained alarm."""
    of: int = 5
    """Number of recent windows that the sustained rule counts."""
    min_rows: int = 100
    """Minimum rows of a feature, in the window and in the reference, for it to be judged."""
    between_day_sd: float = 0.05
    """Assumed standard deviation of a healthy feature's daily offset from its reference, in
    standard deviations of the feature. It does not average out within a day, so the limits add it
    to the sampling error. 0.05 keeps the limits under the floor from about 1,000 rows. An estimate
    from history replaces it (`streaming.baseline.day_variance`)."""
    learn_day_variance: bool = True
    """Whether a reference's estimate of the day variance replaces `between_day_sd`."""
    estimated_day_sd: BetweenDaySd | None = None
    """Between-day standard deviation of each test family. None applies `between_day_sd` to all."""
    offset_seconds: float = DAY
    """How long a feature's random offset persists before a new one is drawn."""
    single_share: float = 0.2
    """Part of the budget for the rule that suspects after a single window."""
    cusum_share: float = 0.2
    """Part of the budget for the CUSUMs, which find slow changes. The sustained rule has the rest
    and leaves most of it to the other rules where no error persists (`streaming.drift.budget`)."""
    season: Literal["none", "hour-of-day", "hour-of-week"] = "none"
    """Whether a window is compared with the history of its own hour."""
    season_zone: str = "UTC"
    """Time zone of the hours, as the tz database names it."""
    season_sd: float = 0.3
    """Assumed standard deviation between hours until history gives an estimate."""
    season_weeks: float = 8.0
    """How many weeks of history the season is learnt from."""
    day_variance_weeks: float = 4.0
    """How many weeks of history the day variance is estimated from when there is no season."""
    max_lost: float = 0.1
    """A window that lost a larger share of the records that arrived, as dead letters or late, is
    not judged: the rows left may differ from those lost. Without the largest tenth of its rows a
    normal feature's mean moves by 0.195 standard deviations, less than `suspected_sd`."""
    max_missing: float = 0.5
    """A feature that is missing in a larger share of rows, and for which the schema reports an
    anomaly, counts as broken, not as drifted."""

    def with_day_variance(self, estimate: DayVariance | None) -> DriftRules:
        """These rules with a reference's estimate of the day variance, if they use one."""
        if estimate is None or not self.learn_day_variance:
            return self
        return replace(
            self,
            between_day_sd=estimate.location,
            estimated_day_sd=BetweenDaySd.estimated(estimate),
        )

    @property
    def history_weeks(self) -> float:
        """How many weeks of windows a reference looks back; 0 when it learns nothing from them."""
        if self.season != "none":
            return self.season_weeks
        return self.day_variance_weeks if self.learn_day_variance else 0.0

    @property
    def day_sd(self) -> BetweenDaySd:
        """The between-day standard deviation of each test family."""
        return self.estimated_day_sd or BetweenDaySd.uniform(self.between_day_sd)

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or isinstance(value, (str, BetweenDaySd)):
                continue
            if not isfinite(value) or value < 0:
                raise ConfigurationError(f"drift.{field.name} is {value}; it must be 0 or more.")
        problem = next((message for violated, message in self._checks() if violated), None)
        if problem:
            raise ConfigurationError(problem)

    def _checks(self) -> tuple[tuple[bool, str], ...]:
        return (
            (
                min(self.false_alarms, self.period_seconds, self.offset_seconds) <= 0,
                "drift.false_alarms, period_seconds and offset_seconds must be above 0.",
            ),
            (
                not 1 <= self.sustained <= self.of <= 60,
                f"drift.sustained is {self.sustained} of {self.of}; "
                "write K of N with 1 <= K <= N <= 60.",
            ),
            (
                self.max_lost >= 1,
                f"drift.max_lost is {self.max_lost}; it must be below 1.",
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
                min(self.single_share, self.cusum_share) <= 0
                or self.single_share + self.cusum_share >= 1,
                f"drift.single_share is {self.single_share} and cusum_share {self.cusum_share}; "
                "both must be above 0 and leave something for the sustained rule.",
            ),
            (
                self.season not in ("none", "hour-of-day", "hour-of-week"),
                f"drift.season is {self.season!r}; choose none, hour-of-day or hour-of-week.",
            ),
            (
                self.season_zone != "UTC" and self.season_zone not in available_timezones(),
                f"drift.season_zone is {self.season_zone!r}, which is not a time zone; "
                "write it like America/Chicago.",
            ),
            (
                self.min_rows < 20,
                f"drift.min_rows is {self.min_rows}; at least 20 are needed.",
            ),
        )


WEIGHTS_OF_NUMBERS = {"location": 0.4, "dispersion": 0.2, "shape": 0.2}
WEIGHTS_OF_CATEGORIES = {"category": 0.4, "value": 0.2}
"""Parts of a numeric and of a categorical feature's budget, by test."""
SHARES_WEIGHT = 0.2
"""Part of a numeric feature's budget that its share tests have together, in equal parts. Those of a
categorical feature have the 0.4 that `WEIGHTS_OF_CATEGORIES` leaves."""
FREQUENT_VALUE_WEIGHT = 0.02
"""Part of a feature's budget for values that become frequent; all other tests share the rest in
proportion. So small a part is enough, because such a growth is far from chance, and takes next to
nothing from the others."""
