"""Assignment of users to the arms of an experiment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.experiment import Experiment, assign, bucket, users_evidence

USERS = [f"user-{number}" for number in range(20_000)]


def test_buckets_are_uniform_and_salts_are_independent() -> None:
    cells = [0] * 20
    in_both = 0
    for user in USERS:
        position = bucket("a", "t", user)
        cells[int(position * 20)] += 1
        in_both += position < 0.5 and bucket("b", "t", user) < 0.5
    assert max(abs(cell - 1000) for cell in cells) < 150
    assert abs(in_both - 5000) < 250


@given(st.text(min_size=1), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_growing_share_keeps_every_user_in_the_same_arm(user: str, a: float, b: float) -> None:
    small, large = (
        Experiment(salt="s", share=share, start=0.0, stop=1.0) for share in sorted((a, b))
    )
    side = assign(small, user=user, now=0.5)
    if side is not None:
        assert assign(large, user=user, now=0.5) == side


def test_no_user_takes_part_outside_the_schedule() -> None:
    test = Experiment(salt="s", share=0.5, start=10.0, stop=20.0)
    assert assign(test, user="u", now=9.9) is None
    assert assign(test, user="u", now=10.0) is not None
    assert assign(test, user="", now=10.0) is None


def test_experiments_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and"):
        Experiment(salt="s", share=0.6, start=0.0, stop=1.0)
    with pytest.raises(ValueError, match="ends at"):
        Experiment(salt="s", share=0.5, start=1.0, stop=1.0)


def test_an_unequal_split_of_users_is_detected() -> None:
    assert users_evidence(10_000, 10_050) < 0
    assert users_evidence(4_500, 5_500) > 6.9
