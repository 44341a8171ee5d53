"""The gates on users' PromQL queries: values of canary and control over looks.

Nothing is known about a query's distribution. The control arm is as old as the canary, so without
harm the difference of the arms is symmetric about zero at each look. The e-process of a symmetric
difference, Π 2 / (1 + exp(−2 λ d)) mixed over bet sizes λ, then reaches 1/α with probability α at
most, whatever the distribution and at any number of looks (Ville 1939; Ramdas et al., Annals of
Statistics 2020, on symmetry). A look at most doubles it, so that a single outlier decides nothing.
Passing is the same test of "the canary is worse by the margin", on the looks at the present weight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from serving.evidence.rules import EvidenceRules, QueryGate
from streaming.contracts.base import Value
from streaming.contracts.records import GateOutcome, GateResult, GateSample

BETS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Bet sizes in margins, mixed with equal weights."""
MISSING_LOOKS = 3
"""Consecutive looks without a value after which `missing` applies: one lost scrape says nothing."""
ALPHA_PASS = 0.05
"""Probability of passing, at one weight, a canary that is worse by the margin."""
_ZEROS = (0.0,) * len(BETS)


class QueryLook(Value, frozen=True, kw_only=True):
    """The values of one gate at one look; None where the query gave none."""

    gate: str
    at: float
    canary: float | None
    control: float | None
    problem: str = ""
    """Why there is no value; empty where the query returned nothing."""
    refused: bool = False
    """Whether the query could not be evaluated at all, which says nothing about the canary."""


class QueryEvidence(Value, frozen=True, kw_only=True):
    """The looks of one gate during a rollout."""

    gate: str
    at: float = 0.0
    """Time of the latest look."""
    looks: int = 0
    """Looks with both values."""
    excess: float = 0.0
    """Sum of how much worse the canary was."""
    fail_bets: tuple[float, ...] = _ZEROS
    """Log wealth of each bet on "the canary is worse", over the rollout."""
    run: int = 0
    """Number of the period at one weight."""
    run_looks: int = 0
    """Looks with both values in this period."""
    pass_bets: tuple[float, ...] = _ZEROS
    """Log wealth of each bet on "the canary is not worse by the margin", in this period."""
    missing: int = 0
    """Latest looks in a row without both values."""
    problem: str = ""
    refused: bool = False
    canary: float | None = None
    control: float | None = None
    """The latest values."""
    failed: bool = False
    """Whether it failed at a look; later looks do not take that back."""


def due(evidence: Sequence[QueryEvidence], gate: str, *, now: float, rules: EvidenceRules) -> bool:
    """Whether the next look at a gate is due."""
    latest = max((entry.at for entry in evidence if entry.gate == gate), default=-math.inf)
    return now - latest >= rules.look_seconds


def add_looks(
    evidence: tuple[QueryEvidence, ...],
    looks: Sequence[QueryLook],
    *,
    run: int,
    rules: EvidenceRules,
) -> tuple[QueryEvidence, ...]:
    """Add looks, each once, to the evidence of their gates.

    Parameters
    ----------
    evidence:
        One entry for each gate that was looked at.
    looks:
        Looks in order of time.
    run:
        Number of the present period at one weight.
    rules:
        The gates.
    """
    by_gate = {entry.gate: entry for entry in evidence}
    gates = {gate.name: gate for gate in rules.queries}
    for look in looks:
        gate = gates.get(look.gate)
        before = by_gate.get(look.gate, QueryEvidence(gate=look.gate))
        if gate is not None and (look.at > before.at or not before.at):
            by_gate[look.gate] = _add(before, look, gate, run, _alpha(rules))
    return tuple(by_gate[name] for name in sorted(by_gate))


def _alpha(rules: EvidenceRules) -> float:
    """The part of the false-alarm budget of each gate that can fail a canary."""
    count = sum(gate.mode != "dry-run" for gate in rules.queries)
    return rules.queries_alpha / max(1, count)


def _add(
    before: QueryEvidence, look: QueryLook, gate: QueryGate, run: int, alpha: float
) -> QueryEvidence:
    if run != before.run:
        before = replace(before, run=run, run_looks=0, pass_bets=_ZEROS, missing=0)
    evidence = replace(
        before,
        at=look.at,
        canary=look.canary,
        control=look.control,
        problem=look.problem,
        refused=look.refused,
    )
    if look.canary is None or look.control is None:
        return replace(evidence, missing=before.missing + 1)
    worse = look.canary - look.control
    if gate.direction == "higher":
        worse = -worse
    fail_bets = _bet(before.fail_bets, worse / gate.margin)
    looks, excess = before.looks + 1, before.excess + worse
    proven = _log_mean(fail_bets) >= math.log(1 / alpha)
    return replace(
        evidence,
        looks=looks,
        excess=excess,
        fail_bets=fail_bets,
        run_looks=before.run_looks + 1,
        pass_bets=_bet(before.pass_bets, 1.0 - worse / gate.margin),
        missing=0,
        failed=before.failed or (proven and excess / looks > gate.margin),
    )


def judge_queries(
    evidence: Sequence[QueryEvidence], *, rules: EvidenceRules
) -> tuple[GateResult, ...]:
    """One result for each gate, also for those that were never looked at."""
    by_gate = {entry.gate: entry for entry in evidence}
    return tuple(
        _judge(by_gate.get(gate.name, QueryEvidence(gate=gate.name)), gate)
        for gate in rules.queries
    )


def _judge(evidence: QueryEvidence, gate: QueryGate) -> GateResult:
    outcome, reason = _outcome(evidence, gate)
    values = {
        "canary": evidence.canary,
        "control": evidence.control,
        "mean_excess": evidence.excess / evidence.looks if evidence.looks else None,
        "log_e_fail": _log_mean(evidence.fail_bets),
        "log_e_pass": _log_mean(evidence.pass_bets),
        "missing_looks": float(evidence.missing),
    }
    return GateResult(
        gate=gate.name,
        outcome=outcome,
        reason=reason,
        query=gate.query,
        n=evidence.looks,
        limit=gate.margin,
        samples=tuple(GateSample(name=k, value=v) for k, v in values.items() if v is not None),
        mode=gate.mode,
        holds=gate.mode == "critical",
    )


def _outcome(evidence: QueryEvidence, gate: QueryGate) -> tuple[GateOutcome, str]:
    name, better = gate.name, f"{gate.direction} is better"
    mean = evidence.excess / evidence.looks if evidence.looks else 0.0
    if evidence.failed:
        return "fail", (
            f"{name}: on average the canary was worse than the control by {mean:.4g} ({better}) in "
            f"{evidence.looks} looks, more than the margin of {gate.margin:g}."
        )
    if evidence.missing >= MISSING_LOOKS or (evidence.missing and not evidence.run_looks):
        return _missing(evidence, gate)
    if not evidence.run_looks:
        return "insufficient", f"{name}: not evaluated at this weight yet."
    last = (
        f"canary {evidence.canary:.4g}, control {evidence.control:.4g}"
        if (evidence.canary is not None and evidence.control is not None)
        else "no value at the last look"
    )
    if _log_mean(evidence.pass_bets) < math.log(1 / ALPHA_PASS):
        return "insufficient", (
            f"{name}: {evidence.run_looks} looks at this weight do not show yet that the canary "
            f"is not worse by {gate.margin:g} ({better}; {last})."
        )
    return "pass", f"{name}: the canary is not worse by {gate.margin:g} ({better}; {last})."


def _missing(evidence: QueryEvidence, gate: QueryGate) -> tuple[GateOutcome, str]:
    problem = evidence.problem or "the query returns nothing for an arm"
    sentence = f"{gate.name}: no value in the last {evidence.missing} looks: {problem}"
    sentence = sentence.rstrip(".") + "."
    if evidence.refused:
        return "error", sentence
    if evidence.missing < MISSING_LOOKS:
        return "insufficient", sentence
    if gate.missing == "fail":
        return "fail", f"{sentence} Missing values fail this gate (missing: fail)."
    if gate.missing == "pass":
        return "pass", f"{sentence} Missing values pass this gate (missing: pass)."
    return "insufficient", f"{sentence} The weight is held."


def _bet(wealth: Sequence[float], difference: float) -> tuple[float, ...]:
    gains = math.log(2.0) - np.logaddexp(0.0, -2.0 * np.asarray(BETS) * difference)
    return tuple((np.asarray(wealth) + gains).tolist())


def _log_mean(wealth: Sequence[float]) -> float:
    return round(float(np.logaddexp.reduce(np.asarray(wealth))) - math.log(len(wealth)), 6)
