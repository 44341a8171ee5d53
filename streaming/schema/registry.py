"""The life of one model's schema: records in, records out; the only writer of versions.

`handle` takes one record, `tick` the passing of time; both give the next state and the records to
publish. One writer, one record at a time: two engineers who accept at once are served in order,
and the second one is told. The same step makes the same ids, so a repetition is dropped.
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
    CommandReply,
    Promotion,
    Record,
    SchemaChange,
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
)
from streaming.schema.acceptance import accept, decided, from_file, reject
from streaming.schema.proposal import covers, propose

Editor = Callable[[str, Sequence[SchemaChange]], str]
"""A schema's text with the safe ones of some changes made."""
_REMEMBERED = 100


class SchemaState(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of one model's schema."""

    model: str
    current: SchemaVersion | None = None
    file_digest: str = ""
    """Of the model's file when it last became a version."""
    offered: SchemaProposal | None = None
    """The newest proposal, in its newest state."""
    rejected: tuple[SchemaProposal, ...] = ()
    """Against the current version."""
    live: int = 0
    seen: tuple[str, ...] = ()
    """Commands that were answered."""


@dataclass(frozen=True, slots=True)
class SchemaStep:
    """The next state, and what to publish."""

    state: SchemaState
    records: tuple[Record, ...] = ()


def handle(state: SchemaState, record: AnyRecord, *, edit: Editor, now: float) -> SchemaStep:
    """One record; those of another model or kind change nothing."""
    if record.model != state.model:
        return SchemaStep(state)
    match record:
        case SchemaVersion():
            known = state.current.version if state.current else 0
            if record.version > known:
                return SchemaStep(_current(state, record))
        case SchemaVerdict():
            return _offer(state, record, edit, now)
        case Promotion():
            return SchemaStep(replace(state, live=record.version))
        case Command(action="accept-schema" | "reject-schema"):
            return _command(state, record, now)
    return SchemaStep(state)


def tick(state: SchemaState, *, file: str, now: float) -> SchemaStep:
    """The model's file becomes a version when it is new; `file` is its text, empty for none."""
    if not file or digest(file.encode()) == state.file_digest:
        return SchemaStep(state)
    sha = digest(file.encode())
    if state.current is not None and state.current.digest == sha:
        return SchemaStep(replace(state, file_digest=sha))
    version = from_file(file, model=state.model, current=state.current, now=now)
    moved = replace(_current(state, version), file_digest=sha)
    there = state.offered
    if there is None or there.state != "open":
        return SchemaStep(moved, (version,))
    why = f"Version {version.version} came from {version.accepted_by}."
    old = decided(there, "superseded", by=version.accepted_by, reason=why, now=now)
    return SchemaStep(replace(moved, offered=old), (version, old))


def _current(state: SchemaState, version: SchemaVersion) -> SchemaState:
    file = state.file_digest if version.proposal_id else version.digest
    return replace(state, current=version, rejected=(), file_digest=file)


# ------------------------------------------------------------------ proposals


def _offer(state: SchemaState, verdict: SchemaVerdict, edit: Editor, now: float) -> SchemaStep:
    current = state.current
    if current is None or verdict.schema_digest != current.digest:
        return SchemaStep(state)
    refused = [change for one in state.rejected for change in one.changes]
    wanted = tuple(one for one in propose(verdict) if not covers(refused, [one]))
    there = state.offered
    if not wanted or (
        there is not None and there.base_digest == current.digest and covers(there.changes, wanted)
    ):
        return SchemaStep(state)
    text = edit(current.text, wanted)
    made = _proposal(state, current, verdict, wanted, text, edit(current.text, ()), now)
    records: tuple[Record, ...] = (made,)
    if state.offered is not None and state.offered.state == "open":
        why = f"{made.proposal_id} says more."
        old = decided(state.offered, "superseded", by="driftline", reason=why, now=now)
        records = (old, made)
    return SchemaStep(replace(state, offered=made), records)


def _proposal(
    state: SchemaState,
    current: SchemaVersion,
    verdict: SchemaVerdict,
    changes: tuple[SchemaChange, ...],
    text: str,
    before: str,
    now: float,
) -> SchemaProposal:
    words = [(c.act, c.feature, c.values, c.min_fraction, c.type) for c in changes]
    ident = record_id("proposal", state.model, current.digest, *words)[:12]
    names = (f"version {current.version}", "proposed")
    diff = unified_diff(before.splitlines(), text.splitlines(), *names, lineterm="")
    writes = any(change.safe for change in changes)
    return SchemaProposal(
        record_id=record_id("schema-proposal", state.model, ident, "open"),
        model=state.model,
        at=now,
        caused_by=(verdict.record_id,),
        proposal_id=ident,
        state="open",
        base_version=current.version,
        base_digest=current.digest,
        digest=digest(text.encode()) if writes else current.digest,
        text=text if writes else current.text,
        diff="\n".join(diff),
        changes=changes,
        affects=affected(changes, state.live),
        evidence=tuple(one for one in verdict.findings if one.outcome != "noticed"),
        reason=verdict.reason,
    )


def affected(changes: Sequence[SchemaChange], live: int) -> tuple[str, ...]:
    """Who is affected by `changes`, one sentence each."""
    served = f"version {live}, which is live" if live else "no version yet"
    whom = f"The stream job from its next window on; the next retrain; {served}."
    return (whom, *(f"{one.feature}: {one.cost}" for one in changes))


# ------------------------------------------------------------------- commands


def _command(state: SchemaState, asked: Command, now: float) -> SchemaStep:
    if asked.record_id in state.seen:
        return SchemaStep(state)
    state = replace(state, seen=(*state.seen, asked.record_id)[-_REMEMBERED:])
    proposal = _known(state, asked.subject)
    if proposal is None or state.current is None:
        newest = f"`driftline schema propose {state.model}` shows the newest proposal."
        reason = f"{asked.subject} is not among the proposals against the current schema; {newest}"
        return SchemaStep(state, (_answer(asked, False, reason, "", now),))
    decide = accept if asked.action == "accept-schema" else reject
    made = decide(proposal, state.current, by=asked.who, reason=asked.reason, now=now)
    agreed = made.outcome != "refused"
    answer = _answer(asked, agreed, made.reason, made.version.record_id, now)
    records: list[Record] = [answer]
    if made.version is not state.current:
        version = replace(made.version, caused_by=(*made.version.caused_by, asked.record_id))
        records.insert(0, version)
        state = _current(state, version)
    if made.proposal is not proposal:
        records.append(made.proposal)
        if state.offered and state.offered.proposal_id == proposal.proposal_id:
            state = replace(state, offered=made.proposal)
        if made.outcome == "rejected":
            state = replace(state, rejected=(*state.rejected, made.proposal)[-_REMEMBERED:])
    return SchemaStep(state, tuple(records))


def _known(state: SchemaState, ident: str) -> SchemaProposal | None:
    known = [*state.rejected, *([state.offered] if state.offered else [])]
    return next((one for one in reversed(known) if ident and one.proposal_id == ident), None)


def _answer(asked: Command, accepted: bool, reason: str, result: str, now: float) -> CommandReply:
    return CommandReply(
        record_id=record_id("answer", asked.model, asked.record_id),
        model=asked.model,
        at=now,
        caused_by=(asked.record_id,),
        to=asked.record_id,
        accepted=accepted,
        reason=reason,
        result_id=result,
    )
