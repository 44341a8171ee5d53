"""Writes the request that people decide on: what it is bound to, and what yes and no do, in words.

Every field comes from the rollout and the settings, so that a request written again at the same
time is the same one; where it is not, something has changed, and the old request is void.
"""

from __future__ import annotations

from serving.phase import Phase
from serving.rules import RolloutRules
from serving.state import Rollout
from streaming.contracts.approval_digests import approval_digest, evaluation_digest
from streaming.contracts.codec import with_text_id
from streaming.contracts.records import ApprovalRequest, ApprovalStage, ModelVersion


def approval_request(
    rollout: Rollout,
    *,
    model: str,
    rules: RolloutRules,
    at: float,
    caused_by: tuple[str, ...] | None = None,
) -> ApprovalRequest:
    """The request of a rollout that awaits an approval.

    Parameters
    ----------
    rollout:
        The rollout; its phase is `awaiting-approval`.
    model:
        Name of the model.
    rules:
        How the model is rolled out, and who may let a version on.
    at:
        Time of the request, seconds since 1970.
    caused_by:
        Ids of the records that led to it; None for those that the rollout has now.
    """
    candidate, people = rollout.candidate, rules.approvals
    stage: ApprovalStage = rollout.approval or "before-canary"
    barred = () if people.by_proposer else rollout.proposers
    record = ApprovalRequest(
        record_id="",
        model=model,
        at=at,
        caused_by=rollout.causes if caused_by is None else caused_by,
        rollout_id=rollout.rollout_id,
        version=candidate.version,
        champion=rollout.champion,
        stage=stage,
        artifact=candidate.artifact.digest,
        evaluation=evaluation_digest(candidate),
        comparison=rollout.comparison,
        comparison_id=rollout.comparison_id,
        digest=present_digest(rollout),
        approvers=people.approvers,
        barred=barred,
        people=people.people,
        deadline=rollout.since + rules.approval_seconds,
        reason=rollout.reason,
        on_yes=on_yes(rollout, rules, model),
        on_no=on_no(rollout, rules, model),
        on_deadline=(
            f"Without a decision within {_duration(rules.approval_seconds)} the rollout ends as on "
            f"a no; `driftline rollout retry {model} {candidate.version}` tries it again."
        ),
    )
    return with_text_id(record, "approval-request", rollout.rollout_id)


def present_digest(rollout: Rollout) -> str:
    """Digest of what a decision on the rollout is about, as it is now."""
    return approval_digest(
        artifact=rollout.candidate.artifact.digest,
        evaluation=evaluation_digest(rollout.candidate),
        comparison=rollout.comparison,
    )


def changed_bytes(rollout: Rollout | None, version: ModelVersion) -> str:
    """Why the version in the rollout must not go on: it was published again, and is another one.

    A number stands for one version: what was compared and shown to people was the earlier one.
    Empty for another number, for the same bytes, and once the version was promoted.
    """
    if rollout is None or version.version != rollout.candidate.version:
        return ""
    if rollout.published or rollout.phase is Phase.ROLLING_BACK:
        return ""
    before, after = rollout.candidate.artifact.digest, version.artifact.digest
    if before != after:
        what = f"other files (digest {after[:12]}, before {before[:12]})"
    elif evaluation_digest(rollout.candidate) != evaluation_digest(version):
        what = "another evaluation"
    else:
        return ""
    return (
        f"Version {version.version} was published again with {what}. What was compared and shown "
        "is void; publish it under a number of its own."
    )


def changed_terms(before: ApprovalRequest, after: ApprovalRequest) -> str:
    """What differs between two requests, as a list of words; empty if nothing does."""
    words = {
        "artifact": "the version's files",
        "evaluation": "its evaluation",
        "comparison": "the comparison of answers",
        "approvers": "who may decide",
        "barred": "who may decide",
        "people": "how many people must approve",
        "deadline": "the deadline",
        "on_yes": "what happens on a yes",
        "on_no": "what happens on a no",
        "reason": "why people are asked",
    }
    changed = [
        text for name, text in words.items() if getattr(before, name) != getattr(after, name)
    ]
    if not changed and before.record_id != after.record_id:
        changed = ["the rollout"]
    return ", ".join(dict.fromkeys(changed))


def on_yes(rollout: Rollout, rules: RolloutRules, model: str) -> str:
    """What happens when enough people say yes."""
    version, champion = rollout.candidate.version, rollout.champion
    if rollout.unserved:
        return (
            f"Version {version} of {model}, which is served elsewhere, counts as the one in use: "
            "windows are compared with its reference."
        )
    if not champion:
        return (
            f"Version {version}, the first one of {model}, goes live: it gets 100 % of the "
            "traffic. There is nothing to compare it with."
        )
    if rollout.uncompared:
        return (
            f"Version {version} gets 100 % of the traffic of {model} without a comparison: "
            f"version {champion} cannot be loaded any more, so there is no way back to it."
        )
    if rollout.approval == "before-promotion":
        return (
            f"Version {version} goes from {rules.weights[rollout.step]} % to 100 % of the traffic "
            f"of {model}; version {champion} stays loaded for {_duration(rules.bake_seconds)}."
        )
    first, *others = rules.weights
    then = f", then {', '.join(map(str, others))} %" if others else ""
    last = (
        "another approval is asked for before it goes live"
        if rules.approval == "before-promotion"
        else "it goes live by itself after the last step"
    )
    return (
        f"Version {version} starts its canary with {first} % of the traffic of {model}{then}; each "
        f"step lasts at least {_duration(rules.hold_seconds)} and until its gates pass, and {last}."
    )


def on_no(rollout: Rollout, rules: RolloutRules, model: str) -> str:
    """What happens when somebody says no."""
    version, champion = rollout.candidate.version, rollout.champion
    stays = "no version is served"
    if champion and not rules.served:
        stays = f"version {champion} of {model} counts as the one in use"
    elif champion:
        stays = f"version {champion} serves all traffic of {model}"
    return (
        f"Version {version} is not rolled out; {stays}. It is tried again only by "
        f"`driftline rollout retry {model} {version} --force`."
    )


def _duration(seconds: float) -> str:
    """A time in the unit that fits it.

    >>> [_duration(seconds) for seconds in (45.0, 600.0, 7200.0, 259_200.0)]
    ['45 s', '10 min', '2 h', '3 days']
    """
    for size, unit in ((86_400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
