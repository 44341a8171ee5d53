"""The gates: they turn the counts of both arms into one result each, with the evidence.

The canary is compared with the control (`serving.comparison`) and the control with the stable arm
(`serving.control`). A gate may fail a canary at any look, and the probability of a false fail stays
below α. It passes when what the next weight can hurt is disproven: graded margins. In between, a
gate is insufficient and estimates the missing requests. Missing data never passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from serving.comparison import JudgedBlocks, judge_pair, samples, total
from serving.control import judge_control
from serving.evalues import (
    arm_overdispersion,
    decided,
    log_sample_ratio,
    log_share_above,
    log_share_below,
    missing_for_share,
    rounded_up,
)
from serving.margins import graded
from serving.queries import QUERIES
from serving.rules import RolloutRules
from serving.slice_gates import judge_slices
from serving.state import Block
from streaming.contracts.records import GateOutcome, GateResult


def judge_gates(
    blocks: Sequence[Block],
    *,
    run: int,
    step: int,
    rules: RolloutRules,
    control_from: int = 0,
    with_stable: bool = True,
    before: Sequence[Block] = (),
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
    control_from:
        Number of blocks before the control server was last replaced; see `restart_control`.
    with_stable:
        Whether the control is compared with the stable arm. False where the stable arm is the one
        that is judged, or gets no counts.
    before:
        Blocks of the stable arm from before the first weight.
    """
    judged = JudgedBlocks(
        blocks=blocks, run=run, step=step, control_from=control_from, before=before
    )
    scale = graded(rules.next_weight(step))
    tolerance = rules.errors_pp / 100.0
    control_margins = {"errors": tolerance * scale, "slow": rules.slow_share * scale}
    compared = rules.slow_gate == "compare"
    margins = {**control_margins, "slow": control_margins["slow"] if compared else None}
    # what the slices may spend is not spent here
    own = 1.0 - rules.slices.share if rules.slices.values else 1.0
    alphas = {"errors": own * rules.alphas.errors, "slow": own * rules.alphas.slow}
    results = [
        judge_pair(
            gate, judged, rules=rules, alpha=alphas[gate], tolerance=tolerance, margin=margin
        )
        for gate, margin in margins.items()
    ]
    if with_stable:
        results += [
            judge_control(
                gate,
                judged,
                rules=rules,
                alpha=own * rules.alphas.control,
                tolerance=tolerance,
                margin=margin,
            )
            for gate, margin in control_margins.items()
        ]
    if rules.slices.values:
        results += judge_slices(judged, rules=rules, tolerance=tolerance, with_stable=with_stable)
    if rules.slow_gate == "absolute":
        limit = rules.slow_share * scale
        results.append(judge_latency(judged.current, limit=limit, rules=rules))
    results.append(judge_sample_ratio(blocks, rules=rules))
    return tuple(results)


def judge_latency(current: Sequence[Block], *, limit: float, rules: RolloutRules) -> GateResult:
    """Judge the canary's share of slow responses by an absolute limit; 1 % means p99.

    This gate must pass for the canary to advance, and it cannot fail the canary. If the control
    exceeds the limit as well, the reason names the champion.
    """
    timed, slow = total(current, lambda b: b.timed1), max(0, total(current, lambda b: b.slow1))
    slow = min(slow, timed)
    phi = arm_overdispersion([max(0, b.slow1) for b in current], [b.timed1 for b in current])
    needed = math.log(1 / rules.alphas.passing)
    log_proof = decided(log_share_below(slow / phi, timed / phi, limit))
    control_timed = total(current, lambda b: b.timed0)
    control_slow = max(0, total(current, lambda b: b.slow0))
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
        samples=samples(
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
    n1, n0 = total(blocks, lambda b: b.n1), total(blocks, lambda b: b.n0)
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
        samples=samples(canary_requests=n1, control_requests=n0, log_e=evidence),
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
        samples=samples(seconds=seconds),
    )
