"""Which slices are large enough to be judged at a step, and the smallest harm found in one.

A slice with few requests proves nothing. It never decides for a pass: it is named with the smallest
harm that its requests would show.
"""

from __future__ import annotations

import math
from functools import lru_cache

from serving.evalues import requests_for_pass
from serving.margins import CHANCE, EXPECTED_BAD, FOUND_LOG_E, graded, requests_to_pass
from serving.rules import RolloutRules

LENGTHENED = 3.0
"""A slice holds a step for at most about this multiple of its planned requests. One that needs more
is too small to be judged."""


def slice_margin(rules: RolloutRules, step: int) -> float:
    """Excess share of bad requests that each slice has to disprove at a step; 1 = nothing.

    >>> from serving.slice_rules import SliceRules
    >>> rules = RolloutRules(slices=SliceRules(header="x-tenant", values=("acme",)))
    >>> [slice_margin(rules, step) for step in range(5)]
    [1.0, 1.0, 0.75, 0.5, 0.25]
    """
    return min(1.0, rules.slices.harm * graded(rules.next_weight(step)))


@lru_cache(maxsize=256)
def slice_requests(rules: RolloutRules, step: int) -> int:
    """Requests per arm with which a healthy slice disproves its margin; 0 where there is none."""
    margin = slice_margin(rules, step)
    if margin >= 1:
        return 0
    return requests_for_pass(EXPECTED_BAD, margin, math.log(1 / rules.alphas.passing))


def is_large(rules: RolloutRules, step: int, share: float) -> bool:
    """Whether a slice with this share of the requests is judged at a step; where the step has
    nothing to disprove, whether it will be judged at the last one."""
    if not slice_requests(rules, step):
        step = len(rules.weights) - 1
    expected = LENGTHENED * CHANCE * share * requests_to_pass(rules, step)
    return share > 0 and expected >= slice_requests(rules, step)


def slice_log_needed(rules: RolloutRules, alpha: float) -> float:
    """Log evidence in one slice that fails a canary: the slices share a part of α equally."""
    return math.log(len(rules.slices.values) / (alpha * rules.slices.share))


def smallest_slice_harm(rules: RolloutRules, requests: float) -> float:
    """The smallest excess of errors in a slice that nine in ten rollouts find; 1 = not even all.

    Parameters
    ----------
    rules:
        The rules; every slice costs the others some evidence.
    requests:
        Requests of the slice to the canary, over the whole rollout.

    Examples
    --------
    >>> from serving.slice_rules import SliceRules
    >>> rules = RolloutRules(slices=SliceRules(header="x-tenant", values=("acme",)))
    >>> [round(smallest_slice_harm(rules, n), 3) for n in (5, 50, 500, 50_000)]
    [1.0, 0.452, 0.049, 0.005]
    """
    alpha = rules.alphas.errors
    needed = FOUND_LOG_E + slice_log_needed(rules, alpha) - math.log(1 / alpha)
    if requests <= 0:
        return 1.0
    # the excess δ with requests · δ² / (2 (2p + δ)) = needed, as for all requests
    root = math.sqrt(needed * (needed + 4 * EXPECTED_BAD * requests))
    return min(1.0, max(rules.errors_pp / 100, (needed + root) / requests))
