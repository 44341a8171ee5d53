"""Decides whether a proposal becomes the next version: pure, and the only rule for it.

A proposal changes one schema. It is accepted only while that schema is current. When another
version was published first, the same finding leads to a new proposal against the new version.
Accepting twice gives the same version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from streaming.contracts.ids import digest, record_id
from streaming.contracts.records import SchemaProposal, SchemaVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The decision on a proposal, with its reason."""

    outcome: Literal["accepted", "rejected", "refused"]
    """refused: the proposal could not be accepted or rejected, and stays as it is."""
    reason: str
    version: SchemaVersion
    """The schema version that is current after the decision."""
    proposal: SchemaProposal
    """The proposal after the decision."""


def accept(
    proposal: SchemaProposal, current: SchemaVersion, *, by: str, reason: str, now: float
) -> Decision:
    """Accept a proposal: the next version, or a refusal that names the next command.

    Parameters
    ----------
    proposal, current:
        The proposal and the current schema version of the same model.
    by, reason:
        Who accepts it, and why; both are recorded.
    now:
        Seconds since 1970.
    """
    refusal = _refusal(proposal, current)
    if current.proposal_id == proposal.proposal_id:
        message = f"Version {current.version} already is this proposal."
        return Decision(outcome="accepted", reason=message, version=current, proposal=proposal)
    if refusal:
        return Decision(outcome="refused", reason=refusal, version=current, proposal=proposal)
    version = SchemaVersion(
        record_id=record_id("schema-version", proposal.model, current.version + 1, proposal.digest),
        model=proposal.model,
        at=now,
        caused_by=(proposal.record_id,),
        version=current.version + 1,
        digest=proposal.digest,
        text=proposal.text,
        accepted_by=by,
        reason=reason,
        parent=current.version,
        proposal_id=proposal.proposal_id,
    )
    message = f"Version {version.version} of the schema is current from now on."
    closed = close_proposal(proposal, "accepted", by=by, reason=reason, now=now)
    return Decision(outcome="accepted", reason=message, version=version, proposal=closed)


def reject(
    proposal: SchemaProposal, current: SchemaVersion, *, by: str, reason: str, now: float
) -> Decision:
    """Reject a proposal; the same changes are not proposed again while `current` is current."""
    if proposal.state == "accepted":
        message = (
            f"{proposal.proposal_id} was accepted by {proposal.decided_by}; it cannot be undone."
        )
        return Decision(outcome="refused", reason=message, version=current, proposal=proposal)
    if proposal.state == "rejected":
        message = "It was rejected before."
        return Decision(outcome="rejected", reason=message, version=current, proposal=proposal)
    closed = close_proposal(proposal, "rejected", by=by, reason=reason, now=now)
    message = f"Version {current.version} of the schema stays; the finding is still shown."
    return Decision(outcome="rejected", reason=message, version=current, proposal=closed)


def close_proposal(
    proposal: SchemaProposal,
    state: Literal["accepted", "rejected", "superseded"],
    *,
    by: str,
    reason: str,
    now: float,
) -> SchemaProposal:
    """The proposal in a final state."""
    return replace(
        proposal,
        record_id=record_id("schema-proposal", proposal.model, proposal.proposal_id, state),
        at=now,
        caused_by=(proposal.record_id,),
        state=state,
        decided_by=by,
        reason=reason,
    )


def version_from_file(
    text: str, *, model: str, current: SchemaVersion | None, now: float
) -> SchemaVersion:
    """The text of the model's own schema file as the next version."""
    number = current.version + 1 if current else 1
    sha = digest(text.encode())
    return SchemaVersion(
        record_id=record_id("schema-version", model, number, sha),
        model=model,
        at=now,
        caused_by=(current.record_id,) if current else (),
        version=number,
        digest=sha,
        text=text,
        accepted_by="the model's file",
        reason="The file beside the model's code " + ("changed." if current else "is the first."),
        parent=current.version if current else 0,
    )


def _refusal(proposal: SchemaProposal, current: SchemaVersion) -> str:
    newest = f"`driftline schema propose {proposal.model}` shows the newest proposal."
    if proposal.state in ("rejected", "superseded"):
        return f"It was {proposal.state}: {proposal.reason} {newest}"
    if proposal.base_digest != current.digest:
        return (
            f"It changes version {proposal.base_version}, and version {current.version} is current "
            f"({current.accepted_by}: {current.reason}). {newest}"
        )
    if proposal.digest == current.digest:
        return (
            "None of its changes can be written automatically; edit the schema file beside the "
            "model's code, and it becomes the next version."
        )
    return ""
