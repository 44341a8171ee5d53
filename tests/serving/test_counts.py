"""Scraped counters to blocks and ejection checks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.counts import add_scrapes, begin_run
from serving.ports import ArmCounters, Scrape
from serving.rules import RolloutRules
from serving.state import ArmCounts

RULES = RolloutRules(warm_seconds=0.0)


def scrape(
    at: float, canary: int, control: int = 0, *, errors: int = 0, up: float | None = None
) -> Scrape:
    def arm(name: str, n: int, bad: int) -> ArmCounters:
        return ArmCounters(arm=name, requests=n, errors=bad, timed=n, slow=0)  # type: ignore[arg-type]

    return Scrape(
        at=at,
        uptime_seconds=at if up is None else up,
        arms=(arm("canary", canary, errors), arm("control", control or canary, 0)),
    )


def count(scrapes: list[Scrape], rules: RolloutRules = RULES) -> ArmCounts:
    return add_scrapes(begin_run(ArmCounts(), step=0), scrapes, since=0.0, rules=rules)


def test_blocks_close_every_four_seconds() -> None:
    counts = count([scrape(float(t), 10 * t) for t in range(21)])
    assert [block.n1 for block in counts.blocks] == [40, 40, 40, 40, 40]


def test_the_first_seconds_of_a_weight_are_not_counted() -> None:
    counts = count([scrape(float(t), 10 * t) for t in range(21)], RolloutRules(warm_seconds=5.0))
    assert [block.n1 for block in counts.blocks] == [40, 40, 40]


def test_a_gap_merges_blocks_and_loses_nothing() -> None:
    times = [*range(7), *range(19, 26)]
    counts = count([scrape(float(t), 10 * t) for t in times])
    assert [block.n1 for block in counts.blocks] == [40, 150, 40]


def test_a_restart_of_envoy_loses_only_the_seconds_around_the_restart() -> None:
    before = [scrape(float(t), 10 * t) for t in range(4)]
    after = [scrape(float(t), 10 * (t - 5), up=t - 5.0) for t in range(6, 12)]
    counts = count([*before, *after])
    assert sum(block.n1 for block in counts.blocks) == 30 + 10 * (counts.open_since - 6)
    assert all(block.n1 >= 0 for block in counts.blocks)


def test_a_repeated_scrape_is_counted_once() -> None:
    scrapes = [scrape(float(t), 10 * t) for t in range(12)]
    counts = count(scrapes)
    assert add_scrapes(counts, scrapes, since=0.0, rules=RULES) == counts


def test_a_good_check_resets_the_number_of_bad_checks() -> None:
    scrapes = [scrape(0.0, 0), scrape(1.0, 10, errors=10), scrape(2.0, 20, errors=10)]
    assert count(scrapes[:2]).bad_checks == 1
    assert count(scrapes).bad_checks == 0
    assert count([*scrapes[:2], scrape(2.0, 20, errors=20)]).bad_checks == 2


def test_a_canary_that_fails_wholly_is_ejected_by_one_scrape() -> None:
    healthy = [scrape(0.0, 0), scrape(0.5, 20)]
    assert count([*healthy, scrape(1.0, 40, errors=20)]).bad_checks == 2
    assert count([*healthy, scrape(1.0, 40, errors=18)]).bad_checks == 0
    assert count([*healthy, scrape(1.0, 39, errors=19)]).bad_checks == 0  # too few requests
    sick_control = Scrape(
        at=1.0,
        uptime_seconds=1.0,
        arms=(
            ArmCounters(arm="canary", requests=40, errors=20, timed=40, slow=0),
            ArmCounters(arm="control", requests=40, errors=20, timed=40, slow=0),
        ),
    )
    assert count([*healthy, sick_control]).bad_checks == 0


def test_a_check_takes_about_a_second_however_often_envoy_is_scraped() -> None:
    scrapes = [scrape(t / 4, 10 * t, errors=8 * t) for t in range(9)]
    assert [count(scrapes[: n + 1]).bad_checks for n in range(9)] == [0, 0, 0, 0, 1, 1, 1, 1, 2]


def test_a_check_waits_for_five_requests_for_a_limited_time() -> None:
    few_requests = [scrape(float(t), 2 * t, errors=2 * t) for t in range(7)]
    assert count(few_requests).bad_checks == 2
    very_few_requests = [scrape(float(t), t // 3, errors=t // 3) for t in range(30)]
    assert count(very_few_requests).bad_checks == 0


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=2, max_size=120),
    st.sets(st.integers(0, 119)),
)
def test_every_request_is_in_exactly_one_block_or_the_open_one(
    traffic: list[tuple[int, int]], missing: set[int]
) -> None:
    """All requests between the first and the last scrape are counted, whichever are missing."""
    canary = control = 0
    scrapes = []
    for second, (more1, more0) in enumerate(traffic):
        canary, control = canary + more1, control + more0 + 1
        if second not in missing:
            scrapes.append(scrape(float(second), canary, control))
    counts = count(scrapes)
    if len(scrapes) < 2:
        assert counts.blocks == ()
        return
    assert counts.open_block is not None
    counted = sum(block.n1 for block in counts.blocks) + counts.open_block.n1
    assert counted == scrapes[-1].arms[0].requests - scrapes[0].arms[0].requests


def test_a_canary_whose_requests_fail_or_are_slow_is_ejected_by_one_scrape() -> None:
    """One that answers 300 ms late: of some requests another server's answer is first."""

    def late(at: float, errors: int, slow: int, *, control_slow: int = 0) -> Scrape:
        return Scrape(
            at=at,
            uptime_seconds=at,
            arms=(
                ArmCounters(arm="canary", requests=40, errors=errors, timed=40, slow=slow),
                ArmCounters(arm="control", requests=40, errors=0, timed=40, slow=control_slow),
            ),
        )

    healthy = [scrape(0.0, 0), scrape(0.5, 20)]
    assert count([*healthy, late(1.0, 9, 10)]).bad_checks == 2
    assert count([*healthy, late(1.0, 9, 9)]).bad_checks == 0  # 90 % of these 20 requests
    assert count([*healthy, late(1.0, 9, 10, control_slow=10)]).bad_checks == 0


def test_two_checks_of_errors_and_slow_requests_need_four_fifths() -> None:
    def checks(errors: int, slow: int) -> int:
        return count(
            [
                Scrape(
                    at=float(at),
                    uptime_seconds=float(at),
                    arms=(
                        ArmCounters(
                            arm="canary",
                            requests=10 * at,
                            errors=errors * at,
                            timed=10 * at,
                            slow=slow * at,
                        ),
                        ArmCounters(
                            arm="control", requests=10 * at, errors=0, timed=10 * at, slow=0
                        ),
                    ),
                )
                for at in range(3)
            ]
        ).bad_checks

    assert checks(4, 4) == 2
    assert checks(4, 3) == 0
    assert checks(5, 0) == checks(0, 5) == 2
