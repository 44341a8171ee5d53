"""The gates: they turn the counts of both arms into one result each, with the evidence.

Failing and passing use different data. *Failing* uses the whole rollout: the symmetry e-process
over blocks, together with the observed excess above the tolerance, may fail a canary at any look,
and the probability of a false fail stays below α. *Passing* uses only the requests at the current
weight and requires only what the next weight can hurt: graded margins. In between, a gate is
insufficient and estimates the missing requests. Missing data never passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from streaming.contracts.records import GateOutcome, GateResult, GateSample

MARGIN_BY_NEXT_WEIGHT = ((5, 10.0), (10, 5.0), (25, 3.0), (50, 2.0), (100, 1.0))
"""Pairs of the canary's next weight and the margin required for it, in final tolerances."""

Count = Callable[[Block], int]


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


def judge_gates(
    blocks: Sequence[Block], *, run: int, step: int, rules: RolloutRules
) -> tuple[GateResult, ...]:
    """Judge every gate that uses request counts.

    Parameters
    ----------
    blocks:
        Every closed block of the rollout.
    run:
        Number of the current run; passing uses only its requests.
    step:
        Index of the weight in `rules.weights`.
    rules:
        Tolerances, α, bet sizes.
    """
    current = [block for block in blocks if block.run == run]
    scale = graded(rules.next_weight(step))
    tolerance = rules.errors_pp / 100.0
    results = [
        judge_pair(
            "errors",
            blocks,
            current,
            rules=rules,
            alpha=rules.alphas.errors,
            tolerance=tolerance,
            margin=tolerance * scale,
        ),
        judge_pair(
            "slow",
            blocks,
            current,
            rules=rules,
            alpha=rules.alphas.slow,
            tolerance=tolerance,
            margin=rules.slow_share * scale if rules.slow_gate == "compare" else None,
        ),
    ]
    if rules.slow_gate == "absolute":
        results.append(judge_latency(current, limit=rules.slow_share * scale, rules=rules))
    results.append(judge_sample_ratio(blocks, rules=rules))
    return tuple(results)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEvidence:
    """The evidence of one gate that compares canary (1) and control (0)."""

    bad1: int
    """Bad requests of the canary at the current weight."""
    requests1: int
    bad0: int
    requests0: int
    total_bad1: int
    """Bad requests of the canary in the whole rollout."""
    total_bad0: int
    excess: float
    """Difference of the shares of bad requests over the whole rollout."""
    log_fail: float
    """Log e-value against the hypothesis that the arms are exchangeable."""
    log_pass: float
    """Log e-value against the hypothesis that the canary is worse by the margin."""
    phi: float
    """Overdispersion of the counts at the current weight."""
    missing: int
    """Estimated requests per arm that a pass still needs."""


def judge_pair(
    gate: str,
    blocks: Sequence[Block],
    current: Sequence[Block],
    *,
    rules: RolloutRules,
    alpha: float,
    tolerance: float,
    margin: float | None,
) -> GateResult:
    """Compare errors, or slow responses, of the canary with the control.

    Parameters
    ----------
    gate:
        ``errors`` or ``slow``.
    blocks, current:
        The blocks of the whole rollout, and those at the current weight.
    alpha:
        Probability of a false fail over the whole rollout.
    tolerance:
        Excess of the bad share up to which the gate never fails.
    margin:
        Excess that must be disproven to pass; None where another gate decides on passing.
    """
    evidence = _pair_evidence(gate, blocks, current, margin=margin, rules=rules)
    outcome, reason = _pair_outcome(
        gate, evidence, alpha=alpha, tolerance=tolerance, has_margin=margin is not None
    )
    return GateResult(
        gate=gate,
        outcome=outcome,
        reason=reason,
        query=QUERIES[gate].expression,
        n=evidence.requests1 + evidence.requests0,
        limit=margin if margin is not None else tolerance,
        missing=evidence.missing,
        samples=_samples(
            canary_requests=evidence.requests1,
            control_requests=evidence.requests0,
            canary_bad=evidence.bad1,
            control_bad=evidence.bad0,
            excess=evidence.excess,
            log_e_fail=evidence.log_fail,
            log_e_pass=evidence.log_pass,
            phi=evidence.phi,
            alpha=alpha,
            blocks=len(blocks),
        ),
    )


def _pair_evidence(
    gate: str,
    blocks: Sequence[Block],
    current: Sequence[Block],
    *,
    margin: float | None,
    rules: RolloutRules,
) -> PairEvidence:
    bad1, bad0, n1, n0 = _counts(gate)
    log_fail = _log_fail(blocks, bad1, bad0, rules)
    total_bad1, total_bad0 = _total(blocks, bad1), _total(blocks, bad0)
    excess = total_bad1 / max(1, _total(blocks, n1)) - total_bad0 / max(1, _total(blocks, n0))
    requests1, requests0 = _total(current, n1), _total(current, n0)
    current_bad1 = min(max(0, _total(current, bad1)), requests1)
    current_bad0 = min(max(0, _total(current, bad0)), requests0)
    phi = pair_overdispersion(
        [bad1(b) - bad0(b) for b in current], [max(0, bad1(b)) + max(0, bad0(b)) for b in current]
    )
    log_proof, missing = 0.0, 0
    if margin is not None:
        needed = math.log(1 / rules.alphas.passing)
        counts = (current_bad1 / phi, requests1 / phi, current_bad0 / phi, requests0 / phi)
        log_proof = decided(log_pass(*counts, margin))
        if log_proof < needed:
            missing = rounded_up(math.ceil(phi * missing_for_pass(*counts, margin, needed)))
    return PairEvidence(
        bad1=current_bad1,
        requests1=requests1,
        bad0=current_bad0,
        requests0=requests0,
        total_bad1=total_bad1,
        total_bad0=total_bad0,
        excess=excess,
        log_fail=log_fail,
        log_pass=log_proof,
        phi=phi,
        missing=missing,
    )


def _pair_outcome(
    gate: str, evidence: PairEvidence, *, alpha: float, tolerance: float, has_margin: bool
) -> tuple[GateOutcome, str]:
    noun = "errors" if gate == "errors" else "slow responses"
    shares = (
        f"canary {evidence.bad1} of {evidence.requests1}, "
        f"control {evidence.bad0} of {evidence.requests0} {noun}"
    )
    odds = _odds(evidence.log_fail)
    if evidence.log_fail >= math.log(1 / alpha) and evidence.excess > tolerance:
        return "fail", (
            f"The canary has {100 * evidence.excess:.2f} percentage points more {noun} than the "
            f"control ({evidence.total_bad1} against {evidence.total_bad0}), more than the "
            f"{100 * tolerance:g} tolerated; evidence 1 : {odds}."
        )
    if evidence.missing:
        return (
            "insufficient",
            f"About {evidence.missing} more requests per arm are needed ({shares}).",
        )
    if has_margin:
        return "pass", f"No more {noun} than allowed: {shares}."
    if evidence.requests1 == 0:
        return "insufficient", "No request was timed at this weight yet."
    return "pass", f"Nothing proven against it: {shares}; evidence 1 : {odds}."


def judge_latency(current: Sequence[Block], *, limit: float, rules: RolloutRules) -> GateResult:
    """Judge the canary's share of slow responses by an absolute limit; 1 % means p99.

    This gate must pass for the canary to advance, and it cannot fail the canary. If the control
    exceeds the limit as well, the reason names the champion.
    """
    timed, slow = _total(current, lambda b: b.timed1), max(0, _total(current, lambda b: b.slow1))
    slow = min(slow, timed)
    phi = arm_overdispersion([max(0, b.slow1) for b in current], [b.timed1 for b in current])
    needed = math.log(1 / rules.alphas.passing)
    log_proof = decided(log_share_below(slow / phi, timed / phi, limit))
    control_timed = _total(current, lambda b: b.timed0)
    control_slow = max(0, _total(current, lambda b: b.slow0))
    control_evidence = log_share_above(control_slow / phi, control_timed / phi, limit)
    missing = 0
    outcome: GateOutcome = "pass"
    reason = (
        f"{slow} of {timed} responses took more than {rules.latency_ms} ms; "
        f"at most {100 * limit:g} % may."
    )
    if log_proof < needed:
        outcome = "insufficient"
        more = missing_for_share(slow / phi, timed / phi, limit, needed)
        missing = rounded_up(math.ceil(phi * more))
        reason += f" About {missing} more requests are needed."
        if control_evidence >= math.log(1 / rules.alphas.slow):
            reason += (
                f" The champion exceeds the limit too ({control_slow} of {control_timed}): relax "
                "it, or set slow_gate to compare."
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
            control_timed=control_timed,
            control_slow=control_slow,
            log_e_pass=log_proof,
            phi=phi,
        ),
    )


def judge_sample_ratio(blocks: Sequence[Block], *, rules: RolloutRules) -> GateResult:
    """Check that canary and control receive equal numbers of requests (sample ratio mismatch).

    No other gate is valid when they do not. Copied traffic is left out: Envoy drops copies to a
    server that responds before it has read the request.
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
            + ("; an equal split makes this very unlikely. Check the routing." if broken else ".")
        ),
        query=QUERIES["sample_ratio"].expression,
        n=n1 + n0,
        limit=rules.alphas.sample_ratio,
        samples=_samples(canary_requests=n1, control_requests=n0, log_e=evidence),
    )


def judge_startup(seconds: float, *, rules: RolloutRules) -> GateResult:
    """Judge the time from the canary's load request until the version was available."""
    in_time = seconds < rules.startup_seconds
    return GateResult(
        gate="startup",
        outcome="pass" if in_time else "fail",
        reason=(
            f"The version was available after {seconds:.2f} s; the limit is "
            f"{rules.startup_seconds:g} s."
        ),
        query=QUERIES["startup"].description,
        n=1,
        limit=rules.startup_seconds,
        samples=_samples(seconds=seconds),
    )


def _log_fail(blocks: Sequence[Block], bad1: Count, bad0: Count, rules: RolloutRules) -> float:
    steps = len(rules.weights)
    differences = [bad1(b) - bad0(b) for b in blocks]
    by_step = [[bad1(b) - bad0(b) for b in blocks if b.step == step] for step in range(steps)]
    return decided(log_restarted(differences, by_step, steps, rules.lambdas))


def _counts(gate: str) -> tuple[Count, Count, Count, Count]:
    if gate == "errors":
        return (lambda b: b.errors1), (lambda b: b.errors0), (lambda b: b.n1), (lambda b: b.n0)
    return (lambda b: b.slow1), (lambda b: b.slow0), (lambda b: b.timed1), (lambda b: b.timed0)


def _total(blocks: Sequence[Block], count: Count) -> int:
    return sum(count(block) for block in blocks)


def _odds(log_e: float) -> str:
    return f"{math.exp(min(log_e, 30.0)):,.0f}"


def _samples(**values: float) -> tuple[GateSample, ...]:
    return tuple(GateSample(name=name, value=float(value)) for name, value in values.items())
