"""Pure: which trials of a search are ended early.

The median rule (Golovin et al., *Google Vizier*, KDD 2017, section 3.2): a trial ends when its best
loss so far is worse than the median of the best losses that the others had at the same epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

FEWEST_TRIALS = 3
"""Other trials that must have reached the epoch: the median of fewer says little."""

FIRST_EPOCH = 2
"""Epochs that every trial gets: the first one says more of the learning rate than of the net."""


def is_hopeless(losses: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """Whether a trial should end after its last epoch.

    Parameters
    ----------
    losses:
        Its validation loss after each epoch.
    others:
        Those of the other trials, running or ended.

    >>> is_hopeless([0.9, 0.8], [[0.7, 0.6], [0.8, 0.5], [0.9, 0.9]])
    True
    >>> is_hopeless([0.9, 0.55], [[0.7, 0.6], [0.8, 0.5], [0.9, 0.9]])
    False
    """
    epoch = len(losses)
    reached = [min(other[:epoch]) for other in others if len(other) >= epoch]
    if epoch < FIRST_EPOCH or len(reached) < FEWEST_TRIALS:
        return False
    return min(losses) > median(reached)
