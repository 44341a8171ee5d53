"""The settings for which quiet days are simulated: more than 20,000 days in all.

One or two alarms in a month do not determine a rate, so most arms have a larger budget. It stays
below 0.1 alarms per feature and day, because a feature alarms at most once a day. The arm with the
default budget of one alarm in 30 days has more days instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulations.kinds import KINDS, Kind

EVERY = tuple(KINDS)
FIVE = ("normal", "lognormal", "poisson", "sparse", "few values")
TAILS = ("normal", "lognormal", "t3", "poisson", "sparse")
MIXED = ("t3", "pareto", "rare counts", "very sparse", "many values")
DISCRETE = ("poisson", "rare counts", "small integers", "sparse", "very sparse", "few values")
HOURLY, EVERY_MINUTE = 24, 1_440


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One setting of the simulation."""

    name: str
    days: int
    budget: float = 10.0
    """Allowed false alarms in 30 days."""
    kinds: tuple[str, ...] = FIVE
    rows: int = 1_000
    """Rows of a window."""
    reference_rows: int = 200_000
    rho: float = 0.0
    """Correlation of the features."""
    day_sd: float = 0.0
    """Standard deviation of the random daily offsets."""
    estimation_days: int = 0
    """Number of days, up to the end of the reference, from which the judge estimates the day
    variance. With 0 it is given."""
    floors: bool = False
    """Whether the effect floors are on."""
    windows_a_day: int = HOURLY
    days_of_a_reference: int = 20

    def chosen(self) -> tuple[Kind, ...]:
        """The kinds of the features."""
        return tuple(KINDS[name] for name in self.kinds)


_FIFTY, _TWO_HUNDRED = (EVERY * 5)[:50], (EVERY * 19)[:200]
ARMS = (
    Arm(name="default budget", days=3_600, budget=1.0, days_of_a_reference=30),
    Arm(name="200 rows, reference 20,000", days=800, rows=200, kinds=EVERY, reference_rows=20_000),
    Arm(name="1,000 rows", days=800, kinds=EVERY),
    Arm(name="10,000 rows", days=800, rows=10_000, kinds=EVERY),
    Arm(
        name="10,000 rows, reference 20,000",
        days=900,
        rows=10_000,
        kinds=MIXED,
        reference_rows=20_000,
        days_of_a_reference=5,
    ),
    Arm(
        name="100,000 rows",
        days=800,
        kinds=TAILS,
        rows=100_000,
        reference_rows=1_000_000,
        days_of_a_reference=5,
    ),
    Arm(
        name="100,000 rows, reference 20,000",
        days=1_200,
        kinds=TAILS,
        rows=100_000,
        reference_rows=20_000,
        days_of_a_reference=5,
    ),
    Arm(name="discrete features", days=800, kinds=DISCRETE),
    Arm(name="50 features, 300 rows", days=120, budget=50.0, kinds=_FIFTY, rows=300),
    Arm(name="200 features", days=60, budget=80.0, kinds=_TWO_HUNDRED, days_of_a_reference=10),
    Arm(name="one-minute windows", days=80, budget=30.0, windows_a_day=EVERY_MINUTE),
    Arm(name="correlated 0.3", days=800, kinds=DISCRETE, rho=0.3),
    Arm(name="correlated 0.6", days=800, kinds=DISCRETE, rho=0.6),
    Arm(name="correlated 0.9", days=600, kinds=DISCRETE, rho=0.9),
    Arm(name="50 features, correlated 0.6", days=120, budget=40.0, kinds=_FIFTY, rho=0.6),
    Arm(name="50 features, correlated 0.9", days=120, budget=40.0, kinds=_FIFTY, rho=0.9),
    Arm(name="day variation 0.02 sd", days=1_200, day_sd=0.02),
    Arm(name="day variation 0.02 sd, 10,000 rows", days=1_200, rows=10_000, day_sd=0.02),
    Arm(name="day variation 0.05 sd, 10,000 rows", days=1_200, rows=10_000, day_sd=0.05),
    Arm(
        name="day variation 0.05 sd, 200 rows, reference 20,000",
        days=1_200,
        rows=200,
        day_sd=0.05,
        reference_rows=20_000,
    ),
    Arm(name="day variation 0.02 sd, estimated", days=1_200, day_sd=0.02, estimation_days=28),
    Arm(
        name="day variation 0.05 sd, 10,000 rows, estimated",
        days=1_200,
        rows=10_000,
        day_sd=0.05,
        estimation_days=28,
    ),
    Arm(name="floors on", days=400, floors=True),
    Arm(name="floors on, 200 rows", days=400, rows=200, reference_rows=20_000, floors=True),
    Arm(name="floors on, day variation 0.05 sd", days=400, day_sd=0.05, floors=True),
)
