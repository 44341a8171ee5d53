"""Scheduled retrains: periods, cron expressions, changes of the clock."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from retrain.schedule import cron_problem, next_due
from tests.retrain.builders import RULES
from tests.retrain.trigger_driver import TriggerDriver, live_driver

BERLIN = "Europe/Berlin"


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN)).timestamp()


def times(cron: str, since: str, count: int) -> list[str]:
    """The next times as the clock on the wall in Berlin shows them, with their offset."""
    shown, time = [], at(since)
    for _ in range(count):
        following = next_due(time, period=0.0, cron=cron, zone=BERLIN)
        assert following is not None
        assert following > time
        time = following
        shown.append(datetime.fromtimestamp(time, ZoneInfo(BERLIN)).isoformat())
    return shown


def test_a_daily_time_keeps_its_hour_where_clocks_change() -> None:
    spring = times("0 3 * * *", "2026-03-28T12:00", 2)
    assert spring == ["2026-03-29T03:00:00+02:00", "2026-03-30T03:00:00+02:00"]
    autumn = times("30 2 * * *", "2026-10-24T12:00", 2)
    assert autumn == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"], "once, not twice"


def test_a_time_that_does_not_exist_is_an_hour_later() -> None:
    assert times("30 2 * * *", "2026-03-28T12:00", 1) == ["2026-03-29T03:30:00+02:00"]


def test_a_period_counts_from_the_last_retrain_and_no_schedule_is_never_due() -> None:
    assert next_due(100.0, period=7.0, cron="", zone="UTC") == 107.0
    assert next_due(100.0, period=0.0, cron="", zone="UTC") is None


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "daily",
        "* * * * * *",
        "0 25 * * *",
        "0 0 31 2 *",
        "R * * * *",
        "H 3 * * *",
        "*/0 * * * *",
    ],
)
def test_what_is_no_schedule_is_refused(wrong: str) -> None:
    assert cron_problem(wrong).startswith(repr(wrong))


def test_the_trigger_starts_at_the_time_of_the_expression_and_once() -> None:
    rules = replace(RULES, schedule_cron="0 * * * *", cooldown_seconds=0.0)
    driver = TriggerDriver(rules=rules, state=live_driver().state, now=110.0)
    driver.wait(3_480.0)
    assert not driver.requests, "the hour is not full yet"
    driver.wait(20.0)
    (request,) = driver.requests
    assert request.cause == "schedule"
    assert request.reason.startswith("The schedule 0 * * * * (UTC) was due 10 s ago.")
    driver.wait(60.0)
    assert len(driver.requests) == 1
