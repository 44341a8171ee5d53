"""Compares two arms by their counts of bad requests: the canary with the control, in one gate each
for errors and for slow responses.

Failing and passing use different data. *Failing* looks at every stretch of the rollout
(`serving.harm`). *Passing* uses only the requests of the current run and requires only what the
next weight can hurt: graded margins. Besides, the observed excess over the present step and over
the whole rollout must be within the margin, so that a protective pause hides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from serving.bet_weights import log_bet_weights
from serving.correlation import Counts, Dispersion, dispersion
from serving.evalues import (
    PRIOR_A,
    PRIOR_B,
    decided,
    log_pass,
    missing_for_pass,
    pair_overdispersion,
    rounded_up,
    symmetry_bets,
)
from serving.harm import ArmPair, Harm, harm
from serving.margins import SUSPECT_BLOCKS, suspect_seconds
from serving.queries import QUERIES
from serving.rules import RolloutRules
from serving.state import Block
from streaming.contracts.records import GateOutcome, GateResult, GateSample

WANDERS = 2.0
"""Variance inflation from which the errors of an arm clearly wander; less may be chance."""

Count = Callable[[Block], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedBlocks:
    """The closed blocks of a rollout, as a gate needs them."""

    blocks: Sequence[Block]
    """All of them."""
    run: int
    """Number of the current run."""
    step: int
    """Index of the weight in `rules.weights`; -1 for copies."""
    control_from: int = 0
    """Number of blocks before the control server was last replaced."""
    before: Sequence[Block] = ()
    """Blocks of the stable arm from before the first weight: how its bad requests vary."""

    @property
    def since_control(self) -> Sequence[Block]:
        """Blocks of the present control server."""
        return self.blocks[self.control_from :]

    @property
    def current(self) -> list[Block]:
        """Blocks of the current run and the present control server."""
        return [block for block in self.since_control if block.run == self.run]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of bad request and how it is counted in each arm."""

    noun: str
    bad1: Count
    requests1: Count
    bad0: Count
    requests0: Count
    bad_stable: Count
    requests_stable: Count


KINDS: dict[str, Kind] = {
    "errors": Kind(
        "errors",
        *map(attrgetter, ("errors1", "n1", "errors0", "n0", "errors_stable", "n_stable")),
    ),
    "slow": Kind(
        "slow responses",
        *map(attrgetter, ("slow1", "timed1", "slow0", "timed0", "slow_stable", "timed_stable")),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEvidence:
    """The evidence of one gate that compares canary (1) and control (0)."""

    bad1: int
    """Bad requests of the canary in the current run."""
    requests1: int
    bad0: int
    requests0: int
    harm: Harm
    excess: float
    """Difference of the shares of bad requests over the whole rollout."""
    log_pass: float
    """Log e-value against the hypothesis that the canary is worse by the margin."""
    phi: float
    """Overdispersion of the counts of the current run."""
    missing: int
    """Estimated requests per arm that a pass still needs."""
    suspected: bool
    """Whether the evidence speaks against the canary, at a step that has not been held for long."""
    held_seconds: float
    """For how long that holds a step at most."""


def judge_pair(
    gate: str,
    judged: JudgedBlocks,
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
    judged:
        The blocks.
    alpha:
        Probability of a false fail over the whole rollout.
    tolerance:
        Excess of the bad share up to which the gate never fails.
    margin:
        Excess that must be disproven to pass; None where another gate decides on passing.
    """
    evidence = _pair_evidence(
        gate, judged, alpha=alpha, tolerance=tolerance, margin=margin, rules=rules
    )
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
        samples=samples(
            canary_requests=evidence.requests1,
            control_requests=evidence.requests0,
            canary_bad=evidence.bad1,
            control_bad=evidence.bad0,
            excess=evidence.excess,
            log_e_fail=evidence.harm.log_all,
            log_e_harm=evidence.harm.log_harm,
            log_e_pass=evidence.log_pass,
            phi=evidence.phi,
            inflation=evidence.harm.inflation,
            alpha=alpha,
            blocks=len(judged.blocks),
        ),
    )


def champions_dispersion(kind: Kind, judged: JudgedBlocks) -> Dispersion:
    """How the bad requests of the arms with the champion vary over minutes."""
    blocks = judged.since_control
    control = dispersion(counts(blocks, kind.bad0), counts(blocks, kind.requests0))
    return control + stable_dispersion(kind, blocks)


def stable_dispersion(kind: Kind, blocks: Sequence[Block], *, at_most: float = 1.0) -> Dispersion:
    """How the bad requests of the stable arm vary over minutes; see `dispersion`."""
    bad, requests = counts(blocks, kind.bad_stable), counts(blocks, kind.requests_stable)
    return dispersion(bad, requests, at_most=at_most)


def _pair_evidence(
    gate: str,
    judged: JudgedBlocks,
    *,
    alpha: float,
    tolerance: float,
    margin: float | None,
    rules: RolloutRules,
) -> PairEvidence:
    kind, blocks, current = KINDS[gate], judged.blocks, judged.current
    dead_share = rules.ejection.bad_share / 2
    pair = ArmPair(
        counts(blocks, kind.bad1),
        counts(blocks, kind.requests1),
        counts(blocks, kind.bad0),
        counts(blocks, kind.requests0),
        np.asarray([block.step for block in blocks], dtype=np.int64),
    )
    evidence = harm(
        pair,
        lambda blocks: symmetry_bets(blocks.bad1 - blocks.bad0, rules.lambdas),
        planned_steps=len(rules.weights),
        tolerance=tolerance,
        needed=math.log(1 / alpha),
        # an outage before the rollout says nothing about how errors vary
        champions=lambda: (
            champions_dispersion(kind, judged)
            + stable_dispersion(kind, judged.before, at_most=dead_share)
        ),
        dead_share=dead_share,
        log_weights=_bet_weights(kind, judged, tolerance, rules),
    )
    requests1, requests0 = total(current, kind.requests1), total(current, kind.requests0)
    bad1 = min(max(0, total(current, kind.bad1)), requests1)
    bad0 = min(max(0, total(current, kind.bad0)), requests0)
    phi = _passing_phi(kind, judged)
    log_proof, missing = 0.0, 0
    if margin is not None:
        needed = math.log(1 / rules.alphas.passing)
        shrunk = (bad1 / phi, requests1 / phi, bad0 / phi, requests0 / phi)
        log_proof = decided(log_pass(*shrunk, margin))
        if log_proof < needed:
            missing = rounded_up(math.ceil(phi * missing_for_pass(*shrunk, margin, needed)))
        missing = max(missing, rounded_up(_missing_for_excess(kind, judged, margin)))
    return PairEvidence(
        bad1=bad1,
        requests1=requests1,
        bad0=bad0,
        requests0=requests0,
        harm=evidence,
        excess=share(blocks, kind.bad1, kind.requests1) - share(blocks, kind.bad0, kind.requests0),
        log_pass=log_proof,
        phi=phi,
        missing=missing,
        suspected=evidence.log_harm > 0 and len(current) < SUSPECT_BLOCKS,
        held_seconds=suspect_seconds(rules),
    )


def _bet_weights(
    kind: Kind, judged: JudgedBlocks, tolerance: float, rules: RolloutRules
) -> NDArray[np.float64] | None:
    """Weights of the bet sizes for the share that the live version had before the rollout."""
    requests = total(judged.before, kind.requests_stable)
    if requests <= 0:
        return None
    bad = max(0, total(judged.before, kind.bad_stable))
    known = (bad + PRIOR_A) / (requests + PRIOR_A + PRIOR_B)
    return log_bet_weights(rules.lambdas, share=known, tolerance=tolerance)


def _passing_phi(kind: Kind, judged: JudgedBlocks) -> float:
    """Overdispersion that a proof pays for: between blocks, and over minutes where it is clear."""
    current = judged.current
    blocks = pair_overdispersion(
        [kind.bad1(b) - kind.bad0(b) for b in current],
        [max(0, kind.bad1(b)) + max(0, kind.bad0(b)) for b in current],
    )
    own = dispersion(counts(current, kind.bad1), counts(current, kind.requests1))
    minutes = (champions_dispersion(kind, judged) + own).inflation
    return max(blocks, minutes) if minutes >= WANDERS else blocks


def _missing_for_excess(kind: Kind, judged: JudgedBlocks, margin: float) -> int:
    """Requests after which the observed excess is within the margin, if no more are bad.

    Over the present step in all its runs, and over the whole rollout: what clients met before a
    protective pause counts. Copies reach no client and are left out.
    """
    control = [b for b in judged.since_control if b.step >= 0]
    missing = 0
    for steps in ([judged.step], range(len(judged.blocks))):
        exposed = [b for b in judged.blocks if b.step >= 0 and b.step in steps]
        bad, requests = total(exposed, kind.bad1), total(exposed, kind.requests1)
        beside = [b for b in control if b.step in steps]
        allowed = margin + share(beside, kind.bad0, kind.requests0)
        missing = max(missing, math.ceil(bad / allowed) - requests)
    return missing


def _pair_outcome(
    gate: str, evidence: PairEvidence, *, alpha: float, tolerance: float, has_margin: bool
) -> tuple[GateOutcome, str]:
    noun, harmed = KINDS[gate].noun, evidence.harm
    shares = (
        f"canary {evidence.bad1} of {evidence.requests1}, "
        f"control {evidence.bad0} of {evidence.requests0} {noun}"
    )
    if harmed.log_harm >= math.log(1 / alpha):
        return "fail", (
            f"The canary has {100 * harmed.excess:.2f} percentage points more {noun} than the "
            f"control {harmed.where} ({harmed.bad1} against {harmed.bad0}), more than the "
            f"{100 * tolerance:g} tolerated; evidence 1 : {odds(harmed.log_harm)}."
        )
    if evidence.missing:
        wandering = (
            f" The {noun} cannot be judged by fewer: they vary {evidence.phi:.0f} times as much as "
            "by chance, in one arm or in both."
        )
        return "insufficient", (
            f"About {evidence.missing} more requests per arm are needed ({shares})."
            f"{wandering if evidence.phi >= WANDERS else ''}"
        )
    if evidence.suspected:
        return "insufficient", (
            f"The weight is held for up to {evidence.held_seconds / 60:.2g} min: {shares}. The "
            f"evidence speaks against the canary (1 : {odds(harmed.log_harm)}) and proves nothing "
            "yet."
        )
    if has_margin:
        return "pass", f"No more {noun} than allowed: {shares}."
    if evidence.requests1 == 0:
        return "insufficient", "No request was timed at this weight yet."
    return "pass", f"Nothing proven against it: {shares}; evidence 1 : {odds(harmed.log_all)}."


def share(blocks: Sequence[Block], bad: Count, requests: Count) -> float:
    """Share of bad requests over the blocks; 0 without a request."""
    return max(0, total(blocks, bad)) / max(1, total(blocks, requests))


def total(blocks: Sequence[Block], count: Count) -> int:
    """Sum of one count over the blocks."""
    return sum(map(count, blocks))


def counts(blocks: Sequence[Block], count: Count) -> Counts:
    """One count of every block."""
    return np.fromiter(map(count, blocks), dtype=np.float64, count=len(blocks))


def odds(log_e: float) -> str:
    """The e-value as text."""
    return f"{math.exp(min(log_e, 30.0)):,.0f}"


def samples(**values: float) -> tuple[GateSample, ...]:
    """The values of a gate as evidence."""
    return tuple(GateSample(name=name, value=float(value)) for name, value in values.items())
