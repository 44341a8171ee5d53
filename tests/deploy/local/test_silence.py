"""How long a process has not answered, and when that is held against it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.silence import (
    LARGEST_FACTOR,
    LONGEST_GAP_SECONDS,
    PROBE_SECONDS,
    Silence,
    after_probe,
    after_restart,
)

LIMIT = 30.0


def probed(silence: Silence, *, answered: bool, times: int, start: float = 0.0) -> Silence:
    """Probes at the usual interval."""
    now = silence.probed_at if silence.probed_at is not None else start
    for _ in range(times):
        now += PROBE_SECONDS
        silence = after_probe(silence, answered=answered, excused=False, now=now)
    return silence


def test_a_process_that_never_answers_is_restarted_after_the_limit_and_not_before() -> None:
    silent = probed(Silence(), answered=False, times=10)
    assert not silent.too_long(LIMIT)  # the first probe only begins the count
    assert probed(silent, answered=False, times=1).too_long(LIMIT)


def test_one_answer_starts_the_count_again() -> None:
    silent = probed(Silence(), answered=False, times=10)
    silent = probed(silent, answered=True, times=1)
    assert not probed(silent, answered=False, times=9).too_long(LIMIT)


@given(gaps=st.lists(st.floats(LONGEST_GAP_SECONDS + 0.01, 1e6), max_size=30))
def test_the_time_in_which_the_supervisor_itself_did_not_run_never_counts(
    gaps: list[float],
) -> None:
    silence, now = after_probe(Silence(), answered=False, excused=False, now=0.0), 0.0
    for gap in gaps:
        now += gap
        silence = after_probe(silence, answered=False, excused=False, now=now)
        assert not silence.too_long(LIMIT)


@given(
    probes=st.lists(
        st.tuples(st.floats(0.1, 100.0), st.booleans(), st.booleans()), min_size=1, max_size=60
    )
)
def test_only_time_that_was_seen_without_answer_and_without_excuse_counts(
    probes: list[tuple[float, bool, bool]],
) -> None:
    silence, now, longest = Silence(probed_at=0.0), 0.0, 0.0
    for gap, answered, excused in probes:
        now += gap
        before = silence.seconds
        silence = after_probe(silence, answered=answered, excused=excused, now=now)
        if answered or excused or gap > LONGEST_GAP_SECONDS:
            longest = 0.0
        else:
            longest += gap
        assert silence.seconds == pytest.approx(before + gap if longest else 0.0)


def test_a_process_is_not_blamed_while_what_it_needs_is_away() -> None:
    silence = probed(Silence(), answered=False, times=5)
    for now in range(100, 1000, 3):
        silence = after_probe(silence, answered=False, excused=True, now=float(now))
    assert silence.seconds == 0.0


def test_each_restart_doubles_the_time_until_the_process_is_calm() -> None:
    silence = Silence()
    for expected in (2, 4, 8, 16, 16):
        silence = after_restart(silence)
        assert silence.factor == expected
    assert silence.factor == LARGEST_FACTOR
    assert not probed(silence, answered=False, times=100).too_long(LIMIT)
    assert probed(silence, answered=False, times=162).too_long(LIMIT)
    assert probed(silence, answered=True, times=150).factor == LARGEST_FACTOR
    assert probed(silence, answered=True, times=210).factor == 1
