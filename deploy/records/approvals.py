"""Reads approvals from the log: each request with its decisions and how it ended.

Commands and pages show the same: `approvals` for a list, `open_approval` and `review` for what a
person decides on. What `review` returns has the digests of the request; otherwise it refuses.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from deploy.records import reader
from streaming.contracts.approval_digests import comparison_digest, evaluation_digest
from streaming.contracts.errors import Conflict, NotFoundError
from streaming.contracts.log import RecordLog
from streaming.contracts.records import (
    AnswerComparison,
    ApprovalDecision,
    ApprovalOutcome,
    ApprovalRequest,
    CanaryVerdict,
    ModelVersion,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One request, what people said to it, and how it ended."""

    request: ApprovalRequest
    decisions: tuple[ApprovalDecision, ...] = ()
    """Oldest first; a person counts once."""
    outcome: ApprovalOutcome | None = None
    """None while it is open."""

    @property
    def state(self) -> str:
        """How it ended, or ``open``."""
        return "open" if self.outcome is None else self.outcome.outcome

    @property
    def approved_by(self) -> tuple[str, ...]:
        """Names of those who said yes, oldest first."""
        names = (decision.who for decision in self.decisions if decision.answer == "yes")
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a person is shown before a decision: exactly what the request is bound to."""

    approval: Approval
    version: ModelVersion
    verdict: CanaryVerdict | None
    """The newest verdict of the rollout; None before the first."""
    comparison: AnswerComparison | None
    """The paired comparison of answers; None where there was none."""


def approvals(log: RecordLog, model: str | None, last: int) -> list[Approval]:
    """The newest requests with what became of them, oldest first.

    Parameters
    ----------
    model:
        Name of the model; None for all models.
    last:
        How many requests.
    """
    requests = reader.newest(log, ApprovalRequest, model, last)
    if not requests:
        return []
    decisions: defaultdict[str, list[ApprovalDecision]] = defaultdict(list)
    for decision in reader.records(log, ApprovalDecision, model):
        decisions[decision.request_id].append(decision)
    outcomes: dict[str, ApprovalOutcome] = {}
    for outcome in reader.records(log, ApprovalOutcome, model):
        outcomes.setdefault(outcome.request_id, outcome)
    return [
        Approval(
            request=request,
            decisions=tuple(decisions[request.record_id]),
            outcome=outcomes.get(request.record_id),
        )
        for request in requests
    ]


def open_approval(
    log: RecordLog, model: str, *, request: str = "", version: int | None = None
) -> Approval:
    """The approval of a model that people can decide on now.

    Parameters
    ----------
    request:
        Id of the request that is meant, or its beginning; empty for the open one.
    version:
        The version that is meant; None for any.

    Raises
    ------
    Conflict
        When the request has ended, or is about another version.
    NotFoundError
        When none is open.
    """
    known = approvals(log, model, _LOOKED_THROUGH)
    if request:
        named = [entry for entry in known if entry.request.record_id.startswith(request)]
        if not named:
            raise NotFoundError(
                f"{model} has no approval request {request}; `driftline rollout approvals {model}` "
                "lists them."
            )
        known = named[-1:]
        outcome = named[-1].outcome
        if outcome is not None:
            raise Conflict(
                f"Request {outcome.request_id} has ended ({outcome.outcome}): {outcome.reason} "
                f"`driftline rollout approvals {model}` shows what is open."
            )
    waiting = [entry for entry in known if entry.outcome is None]
    if not waiting:
        raise NotFoundError(
            f"No approval of {model} is open; `driftline rollout status {model}` shows the rollout."
        )
    newest = waiting[-1]
    if version not in (None, newest.request.version):
        raise Conflict(
            f"Version {newest.request.version} of {model} awaits an approval, not {version}; "
            f"`driftline rollout approvals {model}` shows it."
        )
    return newest


_LOOKED_THROUGH = 50


def review(log: RecordLog, approval: Approval) -> Review:
    """What the request is about, read from the log and compared with its digests.

    Raises
    ------
    Conflict
        When the version or the comparison is another one than the request is bound to.
    """
    request = approval.request
    versions = reader.newest(
        log, ModelVersion, request.model, 1, where=lambda entry: entry.version == request.version
    )
    verdicts = reader.newest(
        log,
        CanaryVerdict,
        request.model,
        1,
        where=lambda entry: entry.rollout_id == request.rollout_id,
    )
    compared = (
        reader.newest(
            log,
            AnswerComparison,
            request.model,
            1,
            where=lambda entry: entry.record_id == request.comparison_id,
        )
        if request.comparison
        else []
    )
    return checked_review(
        approval,
        version=versions[0] if versions else None,
        verdict=verdicts[0] if verdicts else None,
        comparison=compared[0] if compared else None,
    )


def checked_review(
    approval: Approval,
    *,
    version: ModelVersion | None,
    verdict: CanaryVerdict | None,
    comparison: AnswerComparison | None,
) -> Review:
    """What a person is shown, once it is what the request is bound to.

    Parameters
    ----------
    version:
        The newest record of the request's version; None when there is none.
    verdict:
        The newest verdict of the rollout.
    comparison:
        The comparison that the request names.

    Raises
    ------
    Conflict
        When the version or the comparison is another one than the request is bound to.
    """
    request = approval.request
    if (
        version is None
        or version.artifact.digest != request.artifact
        or evaluation_digest(version) != request.evaluation
    ):
        raise Conflict(
            f"Version {request.version} of {request.model} is another one than people were asked "
            "about: its files or its evaluation have changed since. "
            f"`driftline rollout status {request.model}` shows what follows."
        )
    if request.comparison and (
        comparison is None or comparison_digest(comparison.comparison) != request.comparison
    ):
        raise Conflict(
            f"The comparison of answers that the request is bound to is not on the log as it was; "
            f"`driftline rollout answers {request.model}` shows the newest one."
        )
    return Review(
        approval=approval,
        version=version,
        verdict=verdict,
        comparison=comparison if request.comparison else None,
    )
