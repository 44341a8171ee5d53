"""The gates of slices: what fails one slice wholly is small in all requests together.

Failing pays for the number of slices: the evidence of a slice counts with weight 1/k, and the
slices together have a part of the gate's α (an average of e-values is an e-value). Passing needs
the margin disproven in *every* slice that is large enough, so it pays nothing. A slice that is too
small never decides: it is named, with the smallest harm that its requests would have shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serving.comparison import JudgedBlocks, odds, samples
from serving.control import CONTROL_SLICE_GATES
from serving.evalues import decided, rounded_up
from serving.queries import QUERIES
from serving.rules import RolloutRules
from serving.slice_evidence import BadKind, SliceEvidence, SliceLook
from serving.slice_limits import slice_margin, smallest_slice_harm
from streaming.contracts.records import GateOutcome, GateResult, SliceResult

NOUNS: dict[BadKind, str] = {"errors": "errors", "slow": "slow responses"}

NAMES_SMALL = "errors_by_slice"
"""The gate whose reason names the slices with too few requests; the others need not repeat it."""

SHOWN = 5
"""A reason names at most this many slices; the record has all of them."""


def judge_slices(
    judged: JudgedBlocks, *, rules: RolloutRules, tolerance: float, with_stable: bool
) -> list[GateResult]:
    """The gates of the slices: canary against control, and control against stable arm.

    Parameters
    ----------
    judged:
        The blocks.
    rules:
        The slices, α, bet sizes.
    tolerance:
        Excess share of bad requests up to which no slice fails.
    with_stable:
        Whether the control is compared with the stable arm.
    """
    look = SliceLook(judged=judged, rules=rules, tolerance=tolerance)
    alphas: dict[BadKind, float] = {"errors": rules.alphas.errors, "slow": rules.alphas.slow}
    gates = [
        _Gate(f"{kind}_by_slice", kind, look, alpha, of_control=False)
        for kind, alpha in alphas.items()
    ]
    if with_stable:
        gates += [
            _Gate(name, kind, look, rules.alphas.control, of_control=True)
            for kind, name in CONTROL_SLICE_GATES.items()
        ]
    return [gate.result() for gate in gates]


@dataclass(frozen=True, slots=True)
class _Gate:
    """One gate over all slices."""

    name: str
    kind: BadKind
    look: SliceLook
    alpha: float
    of_control: bool

    def result(self) -> GateResult:
        """The gate's result, with the result of each slice."""
        rules, step = self.look.rules, self.look.judged.step
        alpha = self.alpha * rules.slices.share
        evidence = self.look.evidence(self.kind, alpha=alpha, of_control=self.of_control)
        mixed = self._mixed(evidence)
        decides = mixed >= math.log(1 / alpha)
        worst = max(evidence, key=lambda part: part.harm.log_harm)
        bad: GateOutcome = "error" if self.of_control else "fail"
        parts = tuple(
            self._part(part, bad if decides and part is worst else "pass") for part in evidence
        )
        missing = max((_of_arm(part) for part in parts if part.holds), default=0)
        if decides:
            outcome, reason = bad, self._harmed(worst, mixed)
        elif missing:
            outcome, reason = "insufficient", self._lacking(parts)
        else:
            outcome, reason = "pass", self._passed(parts)
        return GateResult(
            gate=self.name,
            outcome=outcome,
            reason=reason,
            query=QUERIES[self.name].expression,
            n=sum(part.requests + part.requests_beside for part in evidence),
            limit=slice_margin(rules, step),
            missing=missing,
            samples=samples(
                log_e_harm=mixed,
                alpha=alpha,
                slices=len(evidence),
                blocks=len(self.look.judged.blocks),
            ),
            slices=parts,
        )

    def _mixed(self, evidence: Sequence[SliceEvidence]) -> float:
        """The mean of the slices' e-values, those without harm left out; its logarithm."""
        logs = [part.harm.log_harm for part in evidence if part.harm.log_harm > 0]
        if not logs:
            return 0.0
        return decided(float(np.logaddexp.reduce(logs)) - math.log(len(evidence)))

    def _part(self, part: SliceEvidence, outcome: GateOutcome) -> SliceResult:
        if outcome == "pass" and (part.missing or not part.large):
            outcome = "insufficient"
        return SliceResult(
            name=part.name,
            outcome=outcome,
            requests=part.requests,
            bad=part.bad,
            requests_beside=part.requests_beside,
            bad_beside=part.bad_beside,
            share=round(part.share, 6),
            smallest_harm=round(smallest_slice_harm(self.look.rules, part.requests), 4),
            missing=part.missing,
            holds=part.large,
        )

    def _harmed(self, part: SliceEvidence, mixed: float) -> str:
        judged, beside = ("control", "stable arm") if self.of_control else ("canary", "control")
        harmed, rules = part.harm, self.look.rules
        sick = "The control is sick: in" if self.of_control else "In"
        return (
            f"{sick} slice {part.name} ({rules.slices.header}) the {judged} has "
            f"{100 * harmed.excess:.2f} percentage points more {NOUNS[self.kind]} than the "
            f"{beside} {harmed.where} ({harmed.bad1} against {harmed.bad0}; "
            f"{100 * part.share:.2g} % of all requests), more than the "
            f"{100 * self.look.tolerance:g} tolerated; evidence 1 : {odds(mixed)} over "
            f"{len(rules.slices.values)} slices."
        )

    def _lacking(self, parts: Sequence[SliceResult]) -> str:
        part = max((part for part in parts if part.holds), key=lambda part: part.missing)
        margin = slice_margin(self.look.rules, self.look.judged.step)
        return (
            f"Slice {part.name}: about {part.missing} more requests per arm are needed to exclude "
            f"{100 * margin:g} percentage points more {NOUNS[self.kind]} ({_counted(part)})."
        )

    def _passed(self, parts: Sequence[SliceResult]) -> str:
        small = [part for part in parts if not part.holds]
        reason = f"No slice has more {NOUNS[self.kind]} than allowed."
        if len(small) == len(parts):
            reason = "No slice has enough requests to be judged."
        if small and self.name == NAMES_SMALL:
            named = "; ".join(_small(part) for part in small[:SHOWN])
            more = f"; and {len(small) - SHOWN} more" if len(small) > SHOWN else ""
            reason += f" Too few requests to judge: {named}{more}."
        return reason


def _of_arm(part: SliceResult) -> int:
    """The requests of all slices per arm in which the missing ones of this slice come."""
    return rounded_up(math.ceil(part.missing / part.share)) if part.missing else 0


def _counted(part: SliceResult) -> str:
    return f"{part.bad} of {part.requests} against {part.bad_beside} of {part.requests_beside}"


def _small(part: SliceResult) -> str:
    harm = (
        "not even a total failure is found"
        if part.smallest_harm >= 1
        else f"smallest harm found {100 * part.smallest_harm:.2g} %"
    )
    return f"{part.name} ({_counted(part)}; {harm})"
