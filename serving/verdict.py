"""Gate results into one verdict: the worst wins, and a verdict without a gate is insufficient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streaming.contracts.records import GateOutcome, GateResult

WORST_FIRST: tuple[GateOutcome, ...] = ("fail", "error", "insufficient", "pass")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Outcome, reason, evidence."""

    outcome: GateOutcome
    reason: str
    gates: tuple[GateResult, ...] = ()

    @property
    def missing(self) -> int:
        """About how many more requests per arm the hungriest gate needs."""
        return max((gate.missing for gate in self.gates), default=0)


def judge(gates: Sequence[GateResult], *, silent_seconds: float, stale_seconds: float) -> Verdict:
    """One verdict out of all gates.

    Parameters
    ----------
    gates:
        What each gate found.
    silent_seconds:
        How long no scrape has come.
    stale_seconds:
        From here on the silence itself is an error; a fail already found still counts.

    Examples
    --------
    >>> judge((), silent_seconds=0.0, stale_seconds=15.0).outcome
    'insufficient'
    >>> judge((), silent_seconds=20.0, stale_seconds=15.0).outcome
    'error'
    """
    for outcome in WORST_FIRST:
        found = [gate for gate in gates if gate.outcome == outcome]
        if outcome in ("error", "insufficient", "pass") and silent_seconds >= stale_seconds:
            return Verdict(
                outcome="error",
                reason=(
                    f"No counters came for {silent_seconds:.0f} s. Is Prometheus up and scraping "
                    "Envoy? The weight is held."
                ),
                gates=tuple(gates),
            )
        if found:
            return Verdict(
                outcome=outcome,
                reason=" ".join(gate.reason for gate in _spoken(found, outcome)),
                gates=tuple(gates),
            )
    return Verdict(outcome="insufficient", reason="Nothing has been measured yet.")


def _spoken(found: Sequence[GateResult], outcome: GateOutcome) -> Sequence[GateResult]:
    """All that failed or could not be measured; of the others the one that lacks the most."""
    if outcome in ("fail", "error", "pass"):
        return found
    return sorted(found, key=lambda gate: -gate.missing)[:1]
