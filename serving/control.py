"""Judges the control arm against the stable arm: a sick control proves nothing about a canary.

Both serve the champion, so they must be alike. The gate has the outcome *error* when the control is
proven to be worse, and it passes only when the control is proven not to be worse by the margin that
the canary has to keep. At a weight of 50 % the stable arm gets no requests. The control is then
well where its own share is below the margin, whatever the stable arm's is, and it is compared with
what the stable arm had at the latest weight before. That does not become more: `serving.replacing`
says what follows where it is too little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from serving.comparison import (
    KINDS,
    JudgedBlocks,
    Kind,
    counts,
    odds,
    samples,
    share,
    stable_dispersion,
    total,
)
from serving.evalues import (
    arm_overdispersion,
    decided,
    log_pass,
    log_share_below,
    missing_for_pass,
    missing_for_share,
    rounded_up,
    share_bets,
)
from serving.harm import ArmPair, Harm, harm
from serving.queries import QUERIES
from serving.rules import RolloutRules
from serving.state import Block
from streaming.contracts.records import GateOutcome, GateResult

CONTROL_GATES = {"errors": "control_errors", "slow": "control_slow"}
"""Gate of the control by kind of bad request."""
CONTROL_SLICE_GATES: dict[Literal["errors", "slow"], str] = {
    "errors": "control_errors_by_slice",
    "slow": "control_slow_by_slice",
}
"""Gate of the control in each slice by kind of bad request."""


def judge_control(
    kind_name: str,
    judged: JudgedBlocks,
    *,
    rules: RolloutRules,
    alpha: float,
    tolerance: float,
    margin: float,
) -> GateResult:
    """Compare errors, or slow responses, of the control with the stable arm.

    Parameters
    ----------
    kind_name:
        ``errors`` or ``slow``.
    judged:
        The blocks; those before the control server was replaced do not count.
    alpha:
        Probability of calling a control sick that is like the stable arm.
    tolerance:
        Excess of the bad share up to which the control is never called sick.
    margin:
        Excess that must be disproven to pass.
    """
    kind, gate = KINDS[kind_name], CONTROL_GATES[kind_name]
    blocks = [b for b in judged.since_control if b.step >= 0]
    evidence = _sickness(kind, blocks, judged.before, rules=rules, alpha=alpha, tolerance=tolerance)
    current = [b for b in judged.current if b.step >= 0]
    bad, requests = total(current, kind.bad0), total(current, kind.requests0)
    bad = min(max(0, bad), requests)
    reference = _reference(kind, blocks, current)
    log_proof, missing = _proof(kind, current, (bad, requests), reference, margin, rules)
    beside = total(reference, kind.bad_stable), total(reference, kind.requests_stable)
    outcome: GateOutcome = "insufficient" if missing else "pass"
    ceased = requests >= max(1, beside[1]) and not any(map(kind.requests_stable, current))
    shares = f"control {bad} of {requests}, stable {beside[0]} of {beside[1]} {kind.noun}"
    reason = _proof_reason(shares, missing, ceased=ceased)
    if evidence.log_harm >= math.log(1 / alpha):
        outcome = "error"
        reason = (
            f"The control is sick: {100 * evidence.excess:.2f} percentage points more {kind.noun} "
            f"than the stable arm {evidence.where} ({evidence.bad1} against {evidence.bad0}), "
            f"though both serve the champion; evidence 1 : {odds(evidence.log_harm)}. No canary "
            "can be judged by it. Replace the control server; its counts begin anew."
        )
    return GateResult(
        gate=gate,
        outcome=outcome,
        reason=reason,
        query=QUERIES[gate].expression,
        n=requests + beside[1],
        limit=margin,
        missing=missing,
        samples=samples(
            control_requests=requests,
            stable_requests=beside[1],
            control_bad=bad,
            stable_bad=beside[0],
            excess=share(blocks, kind.bad0, kind.requests0)
            - share(blocks, kind.bad_stable, kind.requests_stable),
            log_e_sick=evidence.log_harm,
            log_e_pass=log_proof,
            stable_ceased=ceased,
            inflation=evidence.inflation,
            alpha=alpha,
        ),
    )


def _proof_reason(shares: str, missing: int, *, ceased: bool) -> str:
    """Whether the control is known to be well, in words.

    `ceased` says that the stable arm gets no requests, and had no more than the control has had.
    """
    if not missing:
        return f"C{shares[1:]}."
    if ceased:
        return (
            f"The control is not known to be well ({shares}), and as the stable arm gets no "
            "requests at this weight, more may not show it."
        )
    needed = f"About {missing} more requests per arm are needed"
    return f"{needed} to know that the control is well ({shares})."


def cannot_be_known(gate: GateResult) -> bool:
    """Whether the control is not known to be well, and a comparison with the stable arm cannot show
    it any more: that arm gets no requests, and had no more than the control has had since."""
    values = {sample.name: sample.value for sample in gate.samples}
    waits = gate.gate in CONTROL_GATES.values() and gate.outcome == "insufficient"
    return waits and values.get("stable_ceased", 0.0) > 0


def _sickness(
    kind: Kind,
    blocks: Sequence[Block],
    before: Sequence[Block],
    *,
    rules: RolloutRules,
    alpha: float,
    tolerance: float,
) -> Harm:
    """The evidence that the control is worse than the stable arm in the same seconds."""
    beside, dead_share = _with_stable(kind, blocks), rules.ejection.bad_share / 2
    pair = ArmPair(
        counts(beside, kind.bad0),
        counts(beside, kind.requests0),
        counts(beside, kind.bad_stable),
        counts(beside, kind.requests_stable),
        np.asarray([block.step for block in beside], dtype=np.int64),
    )
    return harm(
        pair,
        lambda blocks: share_bets(blocks.bad1, blocks.requests1, blocks.bad0, blocks.requests0),
        planned_steps=len(rules.weights),
        tolerance=tolerance,
        needed=math.log(1 / alpha),
        # the arm with the champion that is not judged here
        champions=lambda: (
            stable_dispersion(kind, beside) + stable_dispersion(kind, before, at_most=dead_share)
        ),
        dead_share=dead_share,
    )


def _with_stable(kind: Kind, blocks: Sequence[Block]) -> list[Block]:
    """Blocks in which the stable arm had requests."""
    return [b for b in blocks if kind.requests_stable(b) > 0]


def _reference(kind: Kind, blocks: Sequence[Block], current: Sequence[Block]) -> list[Block]:
    """Blocks with requests of the stable arm: of the current run, or of the latest one before."""
    runs = [b.run for b in blocks if kind.requests_stable(b) > 0]
    current_run = current[-1].run if current else None
    run = current_run if current_run in runs else (runs[-1] if runs else None)
    return [b for b in blocks if b.run == run and kind.requests_stable(b) > 0]


def _proof(
    kind: Kind,
    current: Sequence[Block],
    control: tuple[int, int],
    reference: Sequence[Block],
    margin: float,
    rules: RolloutRules,
) -> tuple[float, int]:
    """Log e-value that the control is not worse by the margin, and the requests it still needs."""
    needed = math.log(1 / rules.alphas.passing)
    phi = arm_overdispersion(
        [max(0, kind.bad0(b)) for b in current], [kind.requests0(b) for b in current]
    )
    x, n = control[0] / phi, control[1] / phi
    y = max(0, total(reference, kind.bad_stable)) / phi
    m = total(reference, kind.requests_stable) / phi
    if m > n > 0:  # more requests than the control's cannot prove more about the control
        y, m = y * n / m, n
    compared = log_pass(x, n, y, m, margin)
    if any(map(kind.requests_stable, current)):
        log_e = decided(compared)
        more = 0 if log_e >= needed else missing_for_pass(x, n, y, m, margin, needed)
        return log_e, rounded_up(math.ceil(phi * more))
    # a share below the margin exceeds no other by it: both prove the same, and so does their mean
    alone = log_share_below(x, n, margin)
    log_e = decided(alone if not m else float(np.logaddexp(compared, alone)) - math.log(2))
    more = 0 if log_e >= needed else missing_for_share(x, n, margin, needed + math.log(2))
    return log_e, rounded_up(max(math.ceil(phi * more), int(log_e < needed)))
