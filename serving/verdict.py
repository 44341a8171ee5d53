"""Combines gate results into one verdict: the worst outcome wins; no gate means insufficient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serving.control import CONTROL_GATES, CONTROL_SLICE_GATES
from streaming.contracts.records import GateOutcome, GateResult

WORST_FIRST: tuple[GateOutcome, ...] = ("fail", "error", "insufficient", "pass")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome with its reason and the gate results as evidence."""

    outcome: GateOutcome
    reason: str
    gates: tuple[GateResult, ...] = ()

    @property
    def control_is_sick(self) -> bool:
        """Whether the control is proven to be worse than the stable arm: replace its server."""
        of_control = (*CONTROL_GATES.values(), *CONTROL_SLICE_GATES.values())
        return any(gate.gate in of_control and gate.outcome == "error" for gate in self.gates)

    @property
    def missing(self) -> int:
        """Estimated requests per arm that are still missing, over all gates."""
        return max((gate.missing for gate in self.gates), default=0)


def judge(gates: Sequence[GateResult], *, silent_seconds: float, stale_seconds: float) -> Verdict:
    """Combine all gate results into one verdict.

    Parameters
    ----------
    gates:
        The result of each gate.
    silent_seconds:
        Time since the latest scrape.
    stale_seconds:
        Limit of `silent_seconds` from which the outcome is error, unless a gate has failed.

    Examples
    --------
    >>> judge((), silent_seconds=0.0, stale_seconds=15.0).outcome
    'insufficient'
    >>> judge((), silent_seconds=20.0, stale_seconds=15.0).outcome
    'error'
    """
    for outcome in WORST_FIRST:
        matching = [gate for gate in gates if gate.outcome == outcome]
        if outcome in ("error", "insufficient", "pass") and silent_seconds >= stale_seconds:
            return Verdict(
                outcome="error",
                reason=(
                    f"No counters came for {silent_seconds:.0f} s. Is Prometheus up and scraping "
                    "Envoy? The weight is held."
                ),
                gates=tuple(gates),
            )
        if matching:
            return Verdict(
                outcome=outcome,
                reason=" ".join(gate.reason for gate in _explaining(matching, outcome)),
                gates=tuple(gates),
            )
    return Verdict(outcome="insufficient", reason="Nothing has been measured yet.")


def _explaining(gates: Sequence[GateResult], outcome: GateOutcome) -> Sequence[GateResult]:
    """The gates whose reasons form the verdict's reason; only the one that lacks the most data
    if the outcome is insufficient."""
    if outcome in ("fail", "error", "pass"):
        return gates
    return sorted(gates, key=lambda gate: -gate.missing)[:1]
