"""Which trials end early."""

from __future__ import annotations

import pytest

from retrain.engines.tfx.pruning import FIRST_EPOCH, is_hopeless

OTHERS = [[0.9, 0.5, 0.4], [0.8, 0.6, 0.6], [0.7, 0.7, 0.3]]


@pytest.mark.parametrize(
    ("losses", "hopeless"),
    [
        ([0.95], False),  # too early
        ([0.95, 0.61], True),
        ([0.95, 0.6], False),  # equal to the median
        ([0.5, 0.9], False),  # its best counts
        ([0.9, 0.8, 0.41], True),
        ([0.9, 0.8, 0.41, 0.41], False),  # nobody has come so far
    ],
)
def test_a_trial_worse_than_the_median_at_its_epoch_ends(
    losses: list[float], hopeless: bool
) -> None:
    assert is_hopeless(losses, OTHERS) is hopeless


def test_two_others_are_too_few() -> None:
    assert not is_hopeless([9.0] * FIRST_EPOCH, OTHERS[:2])
