"""Records of approvals: what people are asked, what each of them decided, and how it ended."""

from __future__ import annotations

from typing import Literal

from streaming.contracts.base import Record, Value

ApprovalStage = Literal["before-canary", "before-promotion"]
"""What an approval lets happen.

* ``before-canary``: the first client reaches the version.
* ``before-promotion``: the version becomes the live one.
"""

ApprovalAnswer = Literal["yes", "no"]
"""What a person decided.

* ``yes``: the version may go on; as many people must say so as the request asks for.
* ``no``: it may not; one is enough to end the rollout.
"""

ApprovalEnd = Literal["approved", "rejected", "expired", "void"]
"""How a request ended.

* ``approved``: as many people as it asked for said yes.
* ``rejected``: somebody said no.
* ``expired``: its deadline passed; the rollout ends.
* ``void``: what it was about has changed, or the rollout went on or ended without it.
"""


class Approver(Value, frozen=True, kw_only=True):
    """A person who may decide."""

    name: str
    """Name of the person, as commands carry it."""
    role: str = ""
    """Role in which the person decides; empty where the settings give none."""


class ApprovalRequest(Record, frozen=True, kw_only=True, tag="approval-request"):
    """People are asked whether a version goes on. Its id is made of its text: another text is
    another request, and decisions on the old one are void."""

    rollout_id: str
    """Id of the rollout that waits."""
    version: int
    """Version that is to go on."""
    champion: int
    """Version that it is to replace; 0 for the first version of a model."""
    stage: ApprovalStage
    """What the approval lets happen."""
    artifact: str
    """Digest of the version's files (SHA-256 of their manifest)."""
    evaluation: str
    """Digest of the version's evaluation: SHA-256 of its metrics, of whether it was blessed and
    why."""
    comparison: str = ""
    """Digest of the paired comparison of answers; empty where there was none."""
    comparison_id: str = ""
    """Id of the record with that comparison; empty where there was none."""
    digest: str
    """SHA-256 over the three digests: what a decision is bound to."""
    approvers: tuple[Approver, ...] = ()
    """Who may say yes; empty = anybody."""
    barred: tuple[str, ...] = ()
    """Who may not say yes, because the retrain or the rollout is their proposal."""
    people: int = 1
    """How many different people must say yes."""
    deadline: float
    """Until when it can be decided, seconds since 1970."""
    reason: str
    """Why people are asked, with the plan of the rollout at its traffic."""
    on_yes: str
    """What happens when enough people say yes."""
    on_no: str
    """What happens when somebody says no."""
    on_deadline: str
    """What happens when nobody decides in time."""


class ApprovalDecision(Record, frozen=True, kw_only=True, tag="approval-decision"):
    """One person's decision on a request. It counts once, for this request only; `at` is the time
    at which the person gave it."""

    request_id: str
    """Id of the request that it decides on."""
    version: int
    """Version that the request is about."""
    who: str
    """Name of the person. Names are not authenticated."""
    role: str = ""
    """Role of the person in the settings; empty where they give none."""
    answer: ApprovalAnswer
    """Yes or no."""
    reason: str
    """Why, in the person's words."""
    digest: str
    """Digest of what the person was shown; that of the request."""
    force: bool = False
    """Whether the person said yes without the evidence that is otherwise needed."""


class ApprovalOutcome(Record, frozen=True, kw_only=True, tag="approval-outcome"):
    """How a request ended. A request without an outcome is open."""

    request_id: str
    """Id of the request."""
    rollout_id: str
    """Id of the rollout that waited."""
    version: int
    """Version that the request was about."""
    outcome: ApprovalEnd
    """How it ended."""
    reason: str
    """Why it ended so, in one sentence."""
    approved_by: tuple[str, ...] = ()
    """Names of those who had said yes."""
