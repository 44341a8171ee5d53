"""What a person who lets a version on must know: the evidence that is missing for it.

And what follows from going on without it: only by force, with a reason that is kept.
"""

from __future__ import annotations

from serving.approval_rules import person
from serving.judging import judge_at
from serving.phase import Phase
from serving.rules import RolloutRules
from serving.state import Rollout
from serving.transitions import enter_phase
from streaming.contracts.records import Command

FORCE = "Give --force and a --reason to go on all the same; both are recorded."


def missing_evidence(
    rollout: Rollout, *, rules: RolloutRules, now: float, step: int | None = None
) -> str:
    """Why a version may not go on at the word of a person alone; empty if nothing is missing.

    Parameters
    ----------
    rollout:
        The rollout in progress.
    rules:
        Tolerances, and the age from which counts are stale.
    now:
        Seconds since 1970.
    step:
        Index of the step whose margin has to be proven; None for that of the current one.
    """
    compared = rollout.champion and not (rollout.unserved or rollout.uncompared)
    if not (rules.served and compared):
        return ""  # there are no requests to judge, and the rollout says so
    version = rollout.candidate.version
    silent = now - rollout.heard_at
    if silent >= rules.stale_seconds:
        since = f"for {silent:.0f} s" if rollout.heard_at else "yet"
        return f"No counters came from Prometheus {since}, so nobody knows how requests fare."
    if rollout.phase is Phase.EJECTED:
        return f"Version {version} is out of the traffic: {rollout.reason}"
    before_canary = rollout.phase is Phase.AWAITING_APPROVAL and rollout.approval == "before-canary"
    if before_canary:
        return "" if step is None else f"No client reached version {version}; nothing was judged."
    if rollout.counts.bad_checks:
        return f"Most requests of version {version} fail or are slow at this moment."
    step = rollout.step if step is None else step
    verdict = judge_at(rollout, step, rules=rules, silent_seconds=silent)
    if verdict.outcome == "pass":
        return ""
    return f"Version {version} has not passed ({verdict.outcome}): {verdict.reason}"


def against(missing: str) -> str:
    """The evidence that a forced command did without, for its reason."""
    return f" by force ({missing.rstrip('.')})" if missing else ""


def unforced(command: Command, missing: str) -> str:
    """Why a command is refused for lack of evidence; empty if it is there, or forced."""
    if not missing:
        return ""
    if not command.force:
        return f"Conflict: {missing} {FORCE}"
    if not command.reason.strip():
        return f"A forced {command.action} needs a reason. {missing}"
    return ""


def forced_on(rollout: Rollout, phase: Phase, reason: str, missing: str, now: float) -> Rollout:
    """The rollout in the next phase, which remembers that it lacks evidence if it goes live so."""
    forced = f"{reason}." if missing and phase is Phase.PROMOTING else rollout.forced
    return enter_phase(rollout, phase, reason, now, forced=forced)


def promotion_refusal(rollout: Rollout, command: Command, rules: RolloutRules) -> str:
    """Why a person may not promote past the approvals that are set; empty if the person may.

    One person is no stand-in for the several that an approval needs, also not by force.
    """
    people, awaiting = rules.approvals, rollout.phase is Phase.AWAITING_APPROVAL
    if rules.approval == "never" and not awaiting:
        return ""
    names = [approver.name for approver in people.approvers]
    if names and person(command.who) not in map(person, names):
        return (
            f"Not allowed: {command.who} is not among those who may decide ({', '.join(names)}; "
            "rollout.approvers). Ask one of them."
        )
    if not people.by_proposer and person(command.who) in map(person, rollout.proposers):
        return (
            f"Not allowed: {command.who} proposed it, so somebody else must promote "
            "(rollout.approval_by_proposer)."
        )
    outstanding = awaiting or rules.approval == "before-promotion"
    if people.people > 1 and outstanding:
        return (
            f"Conflict: {people.people} people must approve version {rollout.candidate.version}; "
            f"promote does not stand in for them. `driftline rollout approve {command.model}` "
            "counts each of them once it is asked for."
        )
    return ""
