"""When a scheduled retrain is due: a period after the last one, or at a cron expression's times.

Pure. A cron expression has five fields (minute, hour, day of month, month, day of week) and is read
in a time zone by its wall clock. Where clocks are put forward, a time that does not exist is that
much later; where they are put back, a time that exists twice is the first. Times that passed while
nothing ran count once.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from croniter import croniter
from croniter.croniter import CroniterError

CRON = r"\s*(?:[0-9A-Za-z*/,#-]+\s+){4}[0-9A-Za-z*/,#-]+\s*"
"""Pattern of a cron expression."""

_RANDOM = re.compile(r"\b[rh]\b", re.IGNORECASE)
"""croniter's fields that are drawn by chance; a schedule must say the same each time it is read."""


def cron_problem(expression: str) -> str:
    """Why a cron expression cannot be used, in words; empty when it can.

    >>> cron_problem("0 3 * * MON"), cron_problem("0 25 * * *")
    ('', "'0 25 * * *' is no cron expression: [0 25 * * *] is not acceptable, out of range")
    """
    if not re.fullmatch(CRON, expression) or _RANDOM.search(expression):
        return (
            f"{expression!r} is no cron expression of five fields (minute, hour, day of month, "
            "month, day of week); write for example 0 3 * * 1."
        )
    try:
        croniter(expression, datetime(2026, 1, 1)).get_next(datetime)  # noqa: DTZ001
    except CroniterError as error:
        return f"{expression!r} is no cron expression: {error}"
    return ""


def next_due(since: float, *, period: float, cron: str, zone: str) -> float | None:
    """The first scheduled time after `since`, seconds since 1970; None without a schedule.

    Parameters
    ----------
    since:
        End of the last retrain, or time of the last promotion, seconds since 1970.
    period:
        Seconds from there to the next; 0 = none. Ignored where there is a cron expression.
    cron:
        A cron expression; empty = none.
    zone:
        Time zone of the cron expression.

    Examples
    --------
    >>> noon = 1_767_355_200.0  # Friday, 2026-01-02 12:00 UTC
    >>> (next_due(noon, period=0.0, cron="0 3 * * *", zone="UTC") - noon) / 3_600
    15.0
    >>> (next_due(noon, period=0.0, cron="0 3 * * *", zone="America/Chicago") - noon) / 3_600
    21.0
    """
    if not cron:
        return since + period if period > 0.0 else None
    # On the wall clock, without a zone: croniter loses an hour where clocks change.
    place = ZoneInfo(zone)
    wall = datetime.fromtimestamp(since, UTC).astimezone(place).replace(tzinfo=None)
    times = croniter(cron, wall)
    due = since
    while due <= since:
        following: datetime = times.get_next(datetime)
        due = following.replace(tzinfo=place).timestamp()
    return due
