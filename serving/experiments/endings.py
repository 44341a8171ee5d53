"""When an experiment ends, and with which outcome.

An arm that is proven to be worse, or that a guardrail takes out, meets no user any more. An
experiment ends when nothing is left to be decided, or at its end: then an arm that was not decided
makes it *insufficient*, unless another is proven to be better. An arm that is not decided is never
a winner, and an error of the measurement is never an outcome for an arm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streaming.contracts.experiment_records import (
    ExperimentArm,
    ExperimentEffect,
    ExperimentOutcome,
)


class Ending(NamedTuple):
    """The outcome of an experiment."""

    outcome: ExperimentOutcome
    winner: int
    """Version that is proven to be the best; 0 for none."""
    reason: str


def latched(
    before: Sequence[ExperimentEffect], after: Sequence[ExperimentEffect]
) -> tuple[ExperimentEffect, ...]:
    """The new effects, but not behind what was proven before.

    The interval holds at all looks together, so what it has once proven stays proven. What excludes
    only a gain may still become more.
    """
    known = {effect.arm: effect for effect in before}

    def newest(effect: ExperimentEffect) -> ExperimentEffect:
        earlier = known.get(effect.arm, effect)
        final = earlier.outcome in ("better", "worse")
        return earlier if final or (earlier.outcome and not effect.outcome) else effect

    return tuple(newest(effect) for effect in after)


def ending(
    arms: Sequence[ExperimentArm],
    effects: Sequence[ExperimentEffect],
    dropped: Sequence[str],
    *,
    final: bool,
) -> Ending | None:
    """The end of an experiment; None while it goes on.

    Parameters
    ----------
    arms:
        All but the champion's.
    effects:
        Each arm against the champion, at the present look.
    dropped:
        Arms that were taken out: they are worse, whatever their effect.
    final:
        Whether no more labels will come.
    """
    by_arm = {effect.arm: effect for effect in effects}
    outcomes: dict[str, ExperimentOutcome] = {
        arm.name: "worse" if arm.name in dropped else _outcome(by_arm.get(arm.name)) for arm in arms
    }
    if "" in outcomes.values() and not final:
        return None
    better = [arm for arm in arms if outcomes[arm.name] == "better"]
    reasons = " ".join(effect.reason for effect in effects)
    if better:
        best = max(better, key=lambda arm: by_arm[arm.name].difference)
        return Ending("better", best.version, f"Version {best.version} is better. {reasons}")
    values = set(outcomes.values())
    if "" in values:
        return Ending("insufficient", 0, f"The labels could not decide. {reasons}".strip())
    if values == {"worse"}:
        return Ending("worse", 0, f"No version is as good as the champion. {reasons}".strip())
    if values == {"no-difference"}:
        return Ending("no-difference", 0, f"No difference that matters. {reasons}")
    return Ending("no-gain", 0, f"No version gains what matters. {reasons}")


def _outcome(effect: ExperimentEffect | None) -> ExperimentOutcome:
    return "" if effect is None else effect.outcome
