"""The gates: counts of both arms in, one result per gate out, with evidence and what is missing.

Two kinds of evidence are kept apart. *Failing* looks at the whole rollout: the symmetry e-process
over blocks, with the observed excess above the tolerance, may fail a canary at any look while the
chance of a false fail stays below α. *Passing* looks at the requests of the present weight alone
and asks only for what the next weight can hurt: graded margins. In between a gate is insufficient
and says how many requests it lacks. Nothing passes because nothing was seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from serving.evalues import (
    arm_overdispersion,
    decided,
    log_pass,
    log_restarted,
    log_sample_ratio,
    log_share_above,
    log_share_below,
    missing_for_pass,
    missing_for_share,
    pair_overdispersion,
    rounded_up,
)
from serving.queries import QUERIES
from serving.rules import RolloutRules
from serving.state import Block
from streaming.contracts.records import GateOutcome, GateResult, Sample

MARGIN_BY_NEXT_WEIGHT = ((5, 10.0), (10, 5.0), (25, 3.0), (50, 2.0), (100, 1.0))
"""What must be proven before the canary gets this weight, in multiples of the final tolerance."""

Count = Callable[[Block], int]


def graded(next_weight: int) -> float:
    """How many times the final tolerance is enough before the canary gets `next_weight` percent.

    Between the designed weights interpolated on logarithms, beyond them the nearest.

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


def judge_gates(
    blocks: Sequence[Block], *, run: int, step: int, rules: RolloutRules
) -> tuple[GateResult, ...]:
    """All gates that requests can answer.

    Parameters
    ----------
    blocks:
        Every closed block of the rollout.
    run:
        The present stretch; passing counts its requests only.
    step:
        Index of the weight in `rules.weights`.
    rules:
        Tolerances, α, bets.
    """
    here = [block for block in blocks if block.run == run]
    scale = graded(rules.next_weight(step))
    tolerance = rules.errors_pp / 100.0
    results = [
        judge_pair(
            "errors",
            blocks,
            here,
            rules=rules,
            alpha=rules.alphas.errors,
            tolerance=tolerance,
            margin=tolerance * scale,
        ),
        judge_pair(
            "slow",
            blocks,
            here,
            rules=rules,
            alpha=rules.alphas.slow,
            tolerance=tolerance,
            margin=rules.slow_share * scale if rules.slow_gate == "compare" else None,
        ),
    ]
    if rules.slow_gate == "absolute":
        results.append(judge_latency(here, limit=rules.slow_share * scale, rules=rules))
    results.append(judge_sample_ratio(blocks, rules=rules))
    return tuple(results)


def judge_pair(
    gate: str,
    blocks: Sequence[Block],
    here: Sequence[Block],
    *,
    rules: RolloutRules,
    alpha: float,
    tolerance: float,
    margin: float | None,
) -> GateResult:
    """Errors, or slow answers, of the canary against the control.

    Parameters
    ----------
    gate:
        ``errors`` or ``slow``.
    blocks, here:
        The whole rollout; the present weight.
    alpha:
        Chance of a false fail over the whole rollout.
    tolerance:
        Excess of the share that is never failed.
    margin:
        Excess that must be disproven to pass; None where another gate does the passing.
    """
    bad1, bad0, n1, n0 = _counts(gate)
    log_fail = _log_fail(blocks, bad1, bad0, rules)
    all1, all0 = _total(blocks, bad1), _total(blocks, bad0)
    excess = all1 / max(1, _total(blocks, n1)) - all0 / max(1, _total(blocks, n0))
    requests1, requests0 = _total(here, n1), _total(here, n0)
    here1 = min(max(0, _total(here, bad1)), requests1)
    here0 = min(max(0, _total(here, bad0)), requests0)
    phi = pair_overdispersion(
        [bad1(b) - bad0(b) for b in here], [max(0, bad1(b)) + max(0, bad0(b)) for b in here]
    )
    log_proof, missing = 0.0, 0
    if margin is not None:
        needed = math.log(1 / rules.alphas.passing)
        counts = (here1 / phi, requests1 / phi, here0 / phi, requests0 / phi)
        log_proof = decided(log_pass(*counts, margin))
        if log_proof < needed:
            missing = rounded_up(math.ceil(phi * missing_for_pass(*counts, margin, needed)))
    outcome: GateOutcome
    word = "errors" if gate == "errors" else "slow answers"
    shares = f"canary {here1} of {requests1}, control {here0} of {requests0} {word}"
    if log_fail >= math.log(1 / alpha) and excess > tolerance:
        outcome = "fail"
        reason = (
            f"The canary has {100 * excess:.2f} percentage points more {word} than the control "
            f"({all1} against {all0}), more than the {100 * tolerance:g} tolerated; "
            f"evidence 1 : {_odds(log_fail)}."
        )
    elif missing:
        outcome = "insufficient"
        reason = f"About {missing} more requests per arm are needed ({shares})."
    elif margin is None and requests1 == 0:
        outcome = "insufficient"
        reason = "No request was timed at this weight yet."
    elif margin is None:
        outcome = "pass"
        reason = f"Nothing proven against it: {shares}; evidence 1 : {_odds(log_fail)}."
    else:
        outcome, reason = "pass", f"No more {word} than allowed: {shares}."
    return GateResult(
        gate=gate,
        outcome=outcome,
        reason=reason,
        query=QUERIES[gate].expression,
        n=requests1 + requests0,
        limit=margin if margin is not None else tolerance,
        missing=missing,
        samples=_samples(
            canary_requests=requests1,
            control_requests=requests0,
            canary_bad=here1,
            control_bad=here0,
            excess=excess,
            log_e_fail=log_fail,
            log_e_pass=log_proof,
            phi=phi,
            alpha=alpha,
            blocks=len(blocks),
        ),
    )


def judge_latency(here: Sequence[Block], *, limit: float, rules: RolloutRules) -> GateResult:
    """The canary's share of slow answers against an absolute limit: 1 % at the end means p99.

    It must pass for the canary to advance, and cannot fail it. When the control breaks the limit
    as well, the reason names the champion.
    """
    timed, slow = _total(here, lambda b: b.timed1), max(0, _total(here, lambda b: b.slow1))
    slow = min(slow, timed)
    phi = arm_overdispersion([max(0, b.slow1) for b in here], [b.timed1 for b in here])
    needed = math.log(1 / rules.alphas.passing)
    log_proof = decided(log_share_below(slow / phi, timed / phi, limit))
    twin, twin_slow = _total(here, lambda b: b.timed0), max(0, _total(here, lambda b: b.slow0))
    blame = log_share_above(twin_slow / phi, twin / phi, limit) >= math.log(1 / rules.alphas.slow)
    missing = 0
    outcome: GateOutcome = "pass"
    reason = (
        f"{slow} of {timed} answers took more than {rules.latency_ms} ms; "
        f"at most {100 * limit:g} % may."
    )
    if log_proof < needed:
        outcome = "insufficient"
        more = missing_for_share(slow / phi, timed / phi, limit, needed)
        missing = rounded_up(math.ceil(phi * more))
        reason += f" About {missing} more requests are needed."
        if blame:
            reason += (
                f" The champion breaks the limit too ({twin_slow} of {twin}): relax it, or set "
                "slow_gate to compare."
            )
    return GateResult(
        gate="latency_p99",
        outcome=outcome,
        reason=reason,
        query=QUERIES["latency_p99"].expression,
        n=timed,
        limit=limit,
        missing=missing,
        samples=_samples(
            canary_timed=timed,
            canary_slow=slow,
            control_timed=twin,
            control_slow=twin_slow,
            log_e_pass=log_proof,
            phi=phi,
        ),
    )


def judge_sample_ratio(blocks: Sequence[Block], *, rules: RolloutRules) -> GateResult:
    """Canary and control must get equal numbers of requests; when not, nothing else is valid.

    Copied traffic is left out: a server that answers early may lose some of its copies.
    """
    blocks = [block for block in blocks if block.step >= 0]
    n1, n0 = _total(blocks, lambda b: b.n1), _total(blocks, lambda b: b.n0)
    evidence = decided(log_sample_ratio(n1, n1 + n0, 0.5))
    broken = evidence >= math.log(1 / rules.alphas.sample_ratio)
    return GateResult(
        gate="sample_ratio",
        outcome="error" if broken else "pass",
        reason=(
            f"Canary and control got {n1} and {n0} requests"
            + ("; an equal split does not do that. See what routes them." if broken else ".")
        ),
        query=QUERIES["sample_ratio"].expression,
        n=n1 + n0,
        limit=rules.alphas.sample_ratio,
        samples=_samples(canary_requests=n1, control_requests=n0, log_e=evidence),
    )


def judge_startup(seconds: float, *, rules: RolloutRules) -> GateResult:
    """From asking the canary's server for the version until it is available."""
    good = seconds < rules.startup_seconds
    return GateResult(
        gate="startup",
        outcome="pass" if good else "fail",
        reason=(
            f"The version was available after {seconds:.2f} s; less than "
            f"{rules.startup_seconds:g} s {'was' if good else 'is'} asked for."
        ),
        query=QUERIES["startup"].meaning,
        n=1,
        limit=rules.startup_seconds,
        samples=_samples(seconds=seconds),
    )


def _log_fail(blocks: Sequence[Block], bad1: Count, bad0: Count, rules: RolloutRules) -> float:
    steps = len(rules.weights)
    whole = [bad1(b) - bad0(b) for b in blocks]
    by_step = [[bad1(b) - bad0(b) for b in blocks if b.step == place] for place in range(steps)]
    return decided(log_restarted(whole, by_step, steps, rules.lambdas))


def _counts(gate: str) -> tuple[Count, Count, Count, Count]:
    if gate == "errors":
        return (lambda b: b.errors1), (lambda b: b.errors0), (lambda b: b.n1), (lambda b: b.n0)
    return (lambda b: b.slow1), (lambda b: b.slow0), (lambda b: b.timed1), (lambda b: b.timed0)


def _total(blocks: Sequence[Block], count: Count) -> int:
    return sum(count(block) for block in blocks)


def _odds(log_e: float) -> str:
    return f"{math.exp(min(log_e, 30.0)):,.0f}"


def _samples(**values: float) -> tuple[Sample, ...]:
    return tuple(Sample(name=name, value=float(value)) for name, value in values.items())
