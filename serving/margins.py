"""The margin that each step has to disprove, and the requests that this takes."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

from serving.evalues import missing_for_share, requests_for_pass
from serving.rules import RolloutRules

MARGIN_BY_NEXT_WEIGHT = ((5, 10.0), (10, 5.0), (25, 3.0), (50, 2.0), (100, 1.0))
"""Pairs of the canary's next weight and the margin required for it, in final tolerances."""

EXPECTED_BAD = 0.002
"""Assumed share of bad requests of a healthy version until one is measured."""

CHANCE = 1.5
"""Requests that a step takes in the median, as a multiple of those with exactly the expected share:
every gate has to pass, on counts that vary (`tests/simulations/canary`: 1,600 s at 20 requests/s,
380 s at 100)."""

FOUND_LOG_E = 10.0
"""Expected log evidence at which nine in ten harmful canaries have failed at α = 1 %; half of them
have at 5.5 (`tests/simulations/canary`)."""

SUSPECT_BLOCKS = 45
"""Blocks, three minutes, for which evidence that speaks against the canary without proving anything
keeps a step from passing. At much traffic a step is over before harm can be proven, and the next
brings up to five times the requests; a proof takes the same number of them at any weight."""

CONTROL_RETURNS = 2
"""How often a rollout goes back to the weight before, where a control is not known to be well at
50 % and the stable arm has no requests to compare it with."""


def suspect_seconds(rules: RolloutRules) -> float:
    """For how long such evidence holds a step at most, from its first judged request.

    >>> suspect_seconds(RolloutRules())
    180.0
    """
    return SUSPECT_BLOCKS * rules.block_seconds


def graded(next_weight: int) -> float:
    """The margin required before the canary gets `next_weight` percent, in final tolerances.

    Log-linear interpolation between the designed weights; the nearest one outside their range.

    >>> [graded(w) for w in (1, 5, 10, 25, 50, 100)]
    [10.0, 10.0, 5.0, 3.0, 2.0, 1.0]
    >>> 2.0 < graded(30) < 3.0
    True
    """
    table = MARGIN_BY_NEXT_WEIGHT
    if next_weight <= table[0][0]:
        return table[0][1]
    for (low, above), (high, below) in pairwise(table):
        if next_weight <= high:
            part = math.log(next_weight / low) / math.log(high / low)
            return float(above ** (1 - part) * below**part) if part < 1 else below
    return table[-1][1]


@lru_cache(maxsize=256)
def requests_to_pass(rules: RolloutRules, step: int, bad_share: float = EXPECTED_BAD) -> int:
    """Requests per arm that the gates of a step need when every arm has `bad_share`."""
    scale = graded(rules.next_weight(step))
    needed = math.log(1 / rules.alphas.passing)
    errors = requests_for_pass(bad_share, rules.errors_pp / 100 * scale, needed)
    limit = rules.slow_share * scale
    if rules.slow_gate == "compare":
        return max(errors, requests_for_pass(bad_share, limit, needed))
    return max(errors, missing_for_share(min(bad_share, limit / 2), 1.0, limit, needed))
