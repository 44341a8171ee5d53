"""The schema registry of one model: records in, records out; the only writer of versions.

`handle` takes one record, `adopt_file` the text of the model's schema file. Both return the next
state and the records to publish. There is one writer and one record at a time, so two engineers who
accept at the same time are served in order, and the second gets a refusal. The same step makes the
same record ids, so a repeated step publishes nothing new.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import unified_diff

import msgspec
from msgspec.structs import replace

from streaming.contracts.ids import digest, record_id
from streaming.contracts.records import (
    AnyRecord,
    Command,
    Promotion,
    Record,
    SchemaChange,
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
)
from streaming.contracts.replies import command_reply, out_of_date
from streaming.schema.acceptance import accept, close_proposal, reject, version_from_file
from streaming.schema.proposal import covers, propose

SchemaEditor = Callable[[str, Sequence[SchemaChange]], str]
"""Applies the safe changes among some changes to a schema's text."""
_MAX_REMEMBERED = 100
"""Largest number of answered commands and of rejected proposals in the state."""
_MAX_IGNORED = 1_000
"""Largest number of ignored columns in the state."""
_NEW_COLUMN_ACTS = ("add_column", "ignore_column")


class SchemaState(msgspec.Struct, frozen=True, kw_only=True):
    """State of one model's schema registry."""

    model: str
    current: SchemaVersion | None = None
    file_digest: str = ""
    """Digest of the model's file when it last became a version."""
    latest_proposal: SchemaProposal | None = None
    """The newest proposal, in its newest state: open or decided."""
    rejected: tuple[SchemaProposal, ...] = ()
    """Rejected proposals against the current version."""
    ignored: tuple[str, ...] = ()
    """New columns whose proposal was rejected; they are not proposed again, whatever the schema."""
    live_version: int = 0
    """The model version that is live; 0 while there is none."""
    answered: tuple[str, ...] = ()
    """Ids of the commands that were answered."""

    @property
    def open_proposal(self) -> SchemaProposal | None:
        """The proposal that awaits a decision; None when there is none."""
        proposal = self.latest_proposal
        return proposal if proposal is not None and proposal.state == "open" else None


@dataclass(frozen=True, slots=True)
class RegistryStep:
    """The next state, and the records to publish."""

    state: SchemaState
    records: tuple[Record, ...] = ()


def handle(
    state: SchemaState, record: AnyRecord, *, edit: SchemaEditor, now: float
) -> RegistryStep:
    """The step for one record; records of other models or kinds change nothing."""
    if record.model != state.model:
        return RegistryStep(state)
    match record:
        case SchemaVersion():
            current = state.current.version if state.current else 0
            if record.version > current:
                return RegistryStep(_with_version(state, record))
        case SchemaVerdict():
            return _propose(state, record, edit, now)
        case Promotion():
            return RegistryStep(replace(state, live_version=record.version))
        case Command(action="accept-schema" | "reject-schema"):
            return _decide(state, record, now)
    return RegistryStep(state)


def adopt_file(state: SchemaState, *, text: str, now: float) -> RegistryStep:
    """Publish the model's schema file as a version when it has changed; "" means there is none."""
    if not text or digest(text.encode()) == state.file_digest:
        return RegistryStep(state)
    sha = digest(text.encode())
    if state.current is not None and state.current.digest == sha:
        return RegistryStep(replace(state, file_digest=sha))
    version = version_from_file(text, model=state.model, current=state.current, now=now)
    next_state = replace(_with_version(state, version), file_digest=sha)
    proposal = state.open_proposal
    if proposal is None:
        return RegistryStep(next_state, (version,))
    reason = f"Version {version.version} came from {version.accepted_by}."
    superseded = close_proposal(
        proposal, "superseded", by=version.accepted_by, reason=reason, now=now
    )
    return RegistryStep(replace(next_state, latest_proposal=superseded), (version, superseded))


def _with_version(state: SchemaState, version: SchemaVersion) -> SchemaState:
    """The state with `version` as the current one."""
    file_digest = state.file_digest if version.proposal_id else version.digest
    return replace(state, current=version, rejected=(), file_digest=file_digest)


# ------------------------------------------------------------------ proposals


def _propose(
    state: SchemaState, verdict: SchemaVerdict, edit: SchemaEditor, now: float
) -> RegistryStep:
    """Publish a proposal when a verdict needs changes that were not proposed or rejected yet."""
    current = state.current
    if current is None or verdict.schema_digest != current.digest:
        return RegistryStep(state)
    rejected = [change for proposal in state.rejected for change in proposal.changes]
    required = tuple(
        change
        for change in propose(verdict)
        if not covers(rejected, [change])
        and not (change.act in _NEW_COLUMN_ACTS and change.feature in state.ignored)
    )
    latest = state.latest_proposal
    if not required or (
        latest is not None
        and latest.base_digest == current.digest
        and covers(latest.changes, required)
    ):
        return RegistryStep(state)
    proposal = _proposal(state, current, verdict, changes=required, edit=edit, now=now)
    records: tuple[Record, ...] = (proposal,)
    if state.open_proposal is not None:
        reason = f"{proposal.proposal_id} proposes more."
        superseded = close_proposal(
            state.open_proposal, "superseded", by="driftline", reason=reason, now=now
        )
        records = (superseded, proposal)
    return RegistryStep(replace(state, latest_proposal=proposal), records)


def _proposal(
    state: SchemaState,
    current: SchemaVersion,
    verdict: SchemaVerdict,
    *,
    changes: tuple[SchemaChange, ...],
    edit: SchemaEditor,
    now: float,
) -> SchemaProposal:
    text = edit(current.text, changes)
    before = edit(current.text, ())  # the same formatting, so that the diff shows changes only
    key = [(c.act, c.feature, c.values, c.min_fraction, c.type) for c in changes]
    proposal_id = record_id("proposal", state.model, current.digest, *key)[:12]
    names = (f"version {current.version}", "proposed")
    diff = unified_diff(before.splitlines(), text.splitlines(), *names, lineterm="")
    has_safe_change = any(change.safe for change in changes)
    return SchemaProposal(
        record_id=record_id("schema-proposal", state.model, proposal_id, "open"),
        model=state.model,
        at=now,
        caused_by=(verdict.record_id,),
        proposal_id=proposal_id,
        state="open",
        base_version=current.version,
        base_digest=current.digest,
        digest=digest(text.encode()) if has_safe_change else current.digest,
        text=text if has_safe_change else current.text,
        diff="\n".join(diff),
        changes=changes,
        affects=affected(changes, state.live_version),
        evidence=tuple(finding for finding in verdict.findings if finding.outcome != "noticed"),
        reason=verdict.reason,
    )


def affected(changes: Sequence[SchemaChange], live_version: int) -> tuple[str, ...]:
    """Who is affected by `changes`, one sentence each."""
    served = f"version {live_version}, which is live" if live_version else "no version yet"
    users = f"The stream job from its next window on; the next retrain; {served}."
    return (users, *(f"{change.feature}: {change.cost}" for change in changes))


# ------------------------------------------------------------------- commands


def _decide(state: SchemaState, command: Command, now: float) -> RegistryStep:
    """Accept or reject a proposal by command, once for each command."""
    if command.record_id in state.answered:
        return RegistryStep(state)
    state = replace(state, answered=(*state.answered, command.record_id)[-_MAX_REMEMBERED:])
    proposal = _find_proposal(state, command.subject)
    reason = out_of_date(command, now)
    if reason or proposal is None or state.current is None:
        reason = reason or (
            f"{command.subject} is not among the proposals against the current schema; "
            f"`driftline schema propose {state.model}` shows the newest proposal."
        )
        return RegistryStep(
            state,
            (
                command_reply(
                    command.record_id, model=command.model, accepted=False, reason=reason, now=now
                ),
            ),
        )
    decide = accept if command.action == "accept-schema" else reject
    decision = decide(proposal, state.current, by=command.who, reason=command.reason, now=now)
    accepted = decision.outcome != "refused"
    reply = command_reply(
        command.record_id,
        model=command.model,
        accepted=accepted,
        reason=decision.reason,
        now=now,
        result_id=decision.version.record_id,
    )
    records: list[Record] = [reply]
    if decision.version is not state.current:
        causes = (*decision.version.caused_by, command.record_id)
        version = replace(decision.version, caused_by=causes)
        records.insert(0, version)
        state = _with_version(state, version)
    if decision.proposal is not proposal:
        records.append(decision.proposal)
        latest = state.latest_proposal
        if latest and latest.proposal_id == proposal.proposal_id:
            state = replace(state, latest_proposal=decision.proposal)
        if decision.outcome == "rejected":
            rejected = (*state.rejected, decision.proposal)[-_MAX_REMEMBERED:]
            columns = (c.feature for c in proposal.changes if c.act in _NEW_COLUMN_ACTS)
            ignored = tuple(dict.fromkeys((*state.ignored, *columns)))[-_MAX_IGNORED:]
            state = replace(state, rejected=rejected, ignored=ignored)
    return RegistryStep(state, tuple(records))


def _find_proposal(state: SchemaState, proposal_id: str) -> SchemaProposal | None:
    """The latest or a rejected proposal by its id."""
    proposals = [*state.rejected, *([state.latest_proposal] if state.latest_proposal else [])]
    return next(
        (p for p in reversed(proposals) if proposal_id and p.proposal_id == proposal_id), None
    )
