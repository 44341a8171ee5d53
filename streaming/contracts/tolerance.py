"""When data are broken: the one rule of schema verdict, retrain trigger and retrain gate.

A *breach* is a number of rows that break the schema in one respect. Its effect depends on three
things. What it is: new values and new fields are change, which a retrain has to learn, and never
break anything. Its share: up to `Tolerance.share` the rows are set aside and counted, and all other
rows are used. How long it lasts: data are broken when the share is exceeded in `sustained` of the
last `of` windows. Codes in `Tolerance.never` pass at no share and need one window, and so does a
breach of most rows.

A share is exceeded when as many rows would be seen in fewer than one of 10,000 windows if the
share were just the tolerated one (exact binomial test), so that two bad rows in a small window are
not mistaken for a large share. A training set is judged as a single window: `judge` with
`Tolerance.at_once`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from streaming.contracts.base import Value
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.window_records import RejectedField, SchemaAnomaly

CHANGES = frozenset(
    {
        "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
        "SCHEMA_NEW_COLUMN",
        "COMPARATOR_L_INFTY_HIGH",
        "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH",
        "COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH",
    }
)
"""TFDV's names of anomalies that are change or addition, not breakage."""
PRESENCE = frozenset(
    {
        "FEATURE_TYPE_LOW_FRACTION_PRESENT",
        "FEATURE_TYPE_LOW_NUMBER_PRESENT",
        "FEATURE_TYPE_NOT_PRESENT",
        "FEATURE_TYPE_NO_VALUES",
        "SCHEMA_MISSING_COLUMN",
    }
)
"""TFDV's names of anomalies about rows without a value."""
BELOW = frozenset({"FLOAT_TYPE_SMALL_FLOAT", "INT_TYPE_SMALL_INT"})
"""TFDV's names of anomalies about numbers below their domain."""
ABOVE = frozenset({"FLOAT_TYPE_BIG_FLOAT", "INT_TYPE_BIG_INT"})
"""TFDV's names of anomalies about numbers above their domain."""
MISSING_FIELD, WRONG_TYPE = "MISSING_FIELD", "WRONG_TYPE"
"""Codes of events that one field made unusable. They are dead letters, so no retrain reads them."""
CRITICAL_P = 1e-4
"""Largest probability at which a share counts as exceeded."""
AT_ONCE_SHARE = 0.5
"""A breach of a larger share of the rows needs one window only."""

Effect = Literal["none", "set-aside", "left-out", "broken"]
"""What becomes of the newest window: its bad rows are set aside; it is left out as a whole; or the
data are broken, and no retrain starts."""


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """How much broken data is tolerated. The defaults are those of the user's settings."""

    share: float = 0.001
    """Share of a window's rows that may break the schema in one respect; the rows are set aside.
    What the schema itself allows is added by the schema (`Breach.allowed`)."""
    sustained: int = 3
    """Data are broken when this many of the last `of` windows exceed the share."""
    of: int = 5
    """Number of latest windows that `sustained` refers to."""
    never: tuple[str, ...] = (
        "SCHEMA_MISSING_COLUMN",
        "FEATURE_TYPE_NOT_PRESENT",
        "UNEXPECTED_DATA_TYPE",
        "DATA_MISSING",
    )
    """TFDV's codes that never pass, whatever their share: one window is enough."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        if not 0.0 <= self.share <= 1.0:
            raise ConfigurationError(f"tolerance.share is {self.share}; it must lie in 0 to 1.")
        if not 1 <= self.sustained <= self.of:
            raise ConfigurationError(
                f"tolerance.sustained is {self.sustained} of {self.of}; at least 1 window and at "
                "most all of them can be required."
            )

    def at_once(self) -> Tolerance:
        """The same rule for a set of rows that has no windows, such as a training set."""
        return msgspec.structs.replace(self, sustained=1, of=1)


DEFAULT = Tolerance()
"""The rule where nothing else is set."""


class Breach(Value, frozen=True, kw_only=True):
    """Rows of one window, or of one training set, that break the schema in one respect."""

    feature: str
    """Empty when the breach concerns all features."""
    code: str
    """TFDV's name of the anomaly, `MISSING_FIELD` or `WRONG_TYPE`."""
    rows: int
    """Number of rows; all of them where it is not known which rows are meant."""
    of_rows: int
    """Number of rows that were looked at."""
    allowed: float = 0.0
    """Share of the rows for which the schema allows it."""
    counted: bool = True
    """False where it is not known which rows are meant."""

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the breach from window to window."""
        return self.feature, self.code

    @property
    def trained_on(self) -> bool:
        """Whether such rows are among those that a retrain reads; dead letters are not."""
        return self.code not in (MISSING_FIELD, WRONG_TYPE)


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the newest window, and why."""

    effect: Effect
    reason: str = ""
    """One sentence with the counts; empty without a breach."""
    breaches: tuple[Breach, ...] = ()
    """The breaches behind `effect`."""


def exceeds(breach: Breach, tolerance: Tolerance) -> bool:
    """Whether the rows of a breach are more than the schema and `tolerance` allow.

    >>> one = Breach(feature="fare", code="FLOAT_TYPE_SMALL_FLOAT", rows=1, of_rows=2_000)
    >>> exceeds(one, Tolerance()), exceeds(msgspec.structs.replace(one, rows=20), Tolerance())
    (False, True)
    """
    if breach.code in CHANGES:
        return False
    tolerated = 0.0 if breach.code in tolerance.never else tolerance.share
    share = max(breach.allowed, tolerated)
    return at_least_p(breach.rows, breach.of_rows, share) < CRITICAL_P


def judge(windows: Sequence[Sequence[Breach]], tolerance: Tolerance) -> Judgement:
    """What becomes of the newest of `windows`, given the breaches of each, oldest first.

    >>> bad = [Breach(feature="fare", code="INT_TYPE_SMALL_INT", rows=50, of_rows=1_000)]
    >>> [judge([bad] * n, Tolerance()).effect for n in (1, 2, 3)]
    ['left-out', 'left-out', 'broken']
    >>> judge([bad, bad, bad, [], []], Tolerance()).effect, judge([bad, []], Tolerance()).effect
    ('broken', 'none')
    """
    latest = windows[-tolerance.of :]
    newest = latest[-1] if latest else ()
    exceeding = [{b.key: b for b in breaches if exceeds(b, tolerance)} for breaches in latest]
    keys = sorted({key for window in exceeding for key in window})
    hits = {key: sum(key in window for window in exceeding) for key in keys}
    at_once = {b.key for b in newest if _needs_one_window(b, tolerance) and exceeds(b, tolerance)}
    persistent = [key for key in keys if hits[key] >= tolerance.sustained or key in at_once]
    if persistent:
        broken = [next(w[key] for w in reversed(exceeding) if key in w) for key in persistent]
        return _judgement("broken", broken, tolerance, hits)
    if exceeding and exceeding[-1]:
        return _judgement("left-out", exceeding[-1].values(), tolerance, hits)
    small = [b for b in newest if b.rows and b.code not in CHANGES]
    return _judgement("set-aside", small, tolerance, {}) if small else Judgement(effect="none")


def _needs_one_window(breach: Breach, tolerance: Tolerance) -> bool:
    most = breach.counted and breach.rows > AT_ONCE_SHARE * breach.of_rows
    return most or breach.code in tolerance.never


def _judgement(
    effect: Effect,
    breaches: Iterable[Breach],
    tolerance: Tolerance,
    hits: dict[tuple[str, str], int],
) -> Judgement:
    ordered = sorted(breaches, key=lambda b: (b.feature, b.code))
    sentences = [describe(breach, tolerance, hits.get(breach.key, 0)) for breach in ordered[:3]]
    more = f"; and {len(ordered) - 3} more" if len(ordered) > 3 else ""
    return Judgement(effect=effect, reason="; ".join(sentences) + more, breaches=tuple(ordered))


def describe(breach: Breach, tolerance: Tolerance, hits: int = 0) -> str:
    """A breach in words.

    >>> bad = Breach(feature="fare", code="FLOAT_TYPE_SMALL_FLOAT", rows=9, of_rows=900)
    >>> describe(bad, Tolerance(), 3)
    'FLOAT_TYPE_SMALL_FLOAT in fare: 9 of 900 rows, at most 0.1% may (3 of the last 5 windows)'
    """
    limit = f"{max(breach.allowed, tolerance.share):.4g}"
    percent = f"at most {float(limit) * 100:g}% may"
    if breach.code in tolerance.never:
        percent = "it never passes"
    windows = f" ({hits} of the last {tolerance.of} windows)" if hits and tolerance.of > 1 else ""
    where = breach.feature or "all features"
    return f"{breach.code} in {where}: {breach.rows} of {breach.of_rows} rows, {percent}{windows}"


def breaches_of(
    anomalies: Iterable[SchemaAnomaly],
    rejected: Iterable[RejectedField],
    *,
    rows: int,
    offsets_read: int,
) -> tuple[Breach, ...]:
    """The breaches of a window.

    Parameters
    ----------
    anomalies:
        TFDV's anomalies; one whose rows are not known counts for all rows.
    rejected:
        Dead letters by the field that caused them.
    rows, offsets_read:
        Number of accepted rows, and of all records.
    """
    counted: dict[tuple[str, str], Breach] = {}
    for anomaly in anomalies:
        if anomaly.code in CHANGES:
            continue
        breach = Breach(
            feature=anomaly.feature,
            code=anomaly.code,
            rows=rows if anomaly.rows is None else anomaly.rows,
            of_rows=rows,
            allowed=anomaly.allowed,
            counted=anomaly.rows is not None,
        )
        counted[breach.key] = breach
    for field in rejected:
        code = WRONG_TYPE if field.value_kind else MISSING_FIELD
        known = counted.get((field.feature, code))
        total = field.rows + (known.rows if known else 0)
        counted[field.feature, code] = Breach(
            feature=field.feature, code=code, rows=total, of_rows=offsets_read
        )
    return tuple(counted[key] for key in sorted(counted))


def pooled(windows: Iterable[tuple[int, Sequence[Breach]]]) -> tuple[Breach, ...]:
    """The breaches of several windows as those of one set of rows; dead letters are left out.

    Parameters
    ----------
    windows:
        The rows of each window, and its breaches.

    >>> bad = Breach(feature="fare", code="INT_TYPE_SMALL_INT", rows=5, of_rows=100)
    >>> [(b.rows, b.of_rows) for b in pooled([(100, [bad]), (300, []), (100, [bad])])]
    [(10, 500)]
    """
    total, rows = 0, dict[tuple[str, str], int]()
    allowed: dict[tuple[str, str], float] = {}
    for window_rows, breaches in windows:
        total += window_rows
        for breach in breaches:
            if breach.trained_on:
                rows[breach.key] = rows.get(breach.key, 0) + breach.rows
                allowed[breach.key] = max(allowed.get(breach.key, 0.0), breach.allowed)
    return tuple(
        Breach(feature=f, code=c, rows=rows[f, c], of_rows=total, allowed=allowed[f, c])
        for f, c in sorted(rows)
    )


def at_least_p(count: int, n: int, share: float) -> float:
    """P(at least `count` of `n` rows) when each row is one with probability `share`.

    The binomial tail is summed from its largest term down (Abramowitz & Stegun 26.1.20); 1 where
    `count` does not exceed its expected value.

    >>> f"{at_least_p(1, 2_000, 0.001):.2f} {at_least_p(20, 2_000, 0.001):.0e}"
    '1.00 6e-14'
    """
    if count <= n * share or n <= 0:
        return 1.0
    if share <= 0.0:
        return 0.0
    odds = share / (1.0 - share)
    logarithm = (
        math.lgamma(n + 1) - math.lgamma(count + 1) - math.lgamma(n - count + 1)
        + count * math.log(share) + (n - count) * math.log1p(-share)
    )  # fmt: skip
    term = total = math.exp(logarithm)
    for rows in range(count, n):
        term *= (n - rows) / (rows + 1) * odds
        total += term
        if term <= total * 1e-12:
            break
    return min(1.0, total)
