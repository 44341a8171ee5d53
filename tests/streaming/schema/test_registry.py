"""The schema registry: one writer, one current version, every command decided once."""

from __future__ import annotations

from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streaming.contracts.records import (
    Command,
    CommandReply,
    Promotion,
    Record,
    SchemaFinding,
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
)
from streaming.engines.tfdv import schema_text
from streaming.schema import accept, reject
from streaming.schema.registry import RegistryStep, SchemaState, adopt_file, handle

R = TypeVar("R", bound=Record)
FILE = (
    'feature { name: "pay" type: BYTES domain: "pays" }\nstring_domain { name: "pays" value: "a" }'
)


def verdict(base: SchemaVersion, *values: str, at: float = 1.0, new: str = "") -> SchemaVerdict:
    findings = [
        SchemaFinding(
            kind="unseen_value", feature="pay", outcome="suspected", reason="New.", value=0.1,
            limit=0.001, n=1000, hits=3, values=values,
        )
    ]  # fmt: skip
    if new:
        findings.append(
            SchemaFinding(
                kind="new_column", feature=new, outcome="suspected", reason="", values=("text",)
            )
        )
    return SchemaVerdict(
        record_id=f"v{at}{values}{new}", model="m", at=at, window_start=at, window_end=at + 1,
        outcome="suspected", reason="It is sustained.", rows=1000, schema_version=base.version,
        schema_digest=base.digest, findings=tuple(findings),
    )  # fmt: skip


def command(
    proposal_id: str, action: str = "accept-schema", who: str = "ann", at: float = 9.0
) -> Command:
    return Command(
        record_id=f"c{proposal_id}{action}{who}{at}", model="m", at=at, action=action,  # type: ignore[arg-type]
        reason="Known.", who=who, subject=proposal_id,
    )  # fmt: skip


def step(state: SchemaState, record: Record) -> RegistryStep:
    return handle(state, record, edit=schema_text.apply_changes, now=10.0)  # type: ignore[arg-type]


def initial_state() -> SchemaState:
    return adopt_file(SchemaState(model="m"), text=FILE, now=0.0).state


def records_of(result: RegistryStep, kind: type[R]) -> list[R]:
    return [record for record in result.records if isinstance(record, kind)]


def with_proposal(state: SchemaState, *values: str) -> tuple[SchemaState, SchemaProposal]:
    assert state.current is not None
    result = step(state, verdict(state.current, *values))
    return result.state, records_of(result, SchemaProposal)[-1]


def test_the_file_is_version_1_and_a_changed_file_is_the_next_version() -> None:
    first = adopt_file(SchemaState(model="m"), text=FILE, now=0.0)
    (version,) = records_of(first, SchemaVersion)
    assert (version.version, version.parent, version.text) == (1, 0, FILE)
    assert adopt_file(first.state, text=FILE, now=1.0).records == ()
    state, proposal = with_proposal(first.state, "b")
    second = adopt_file(state, text=FILE + "\n", now=2.0)
    (version,) = records_of(second, SchemaVersion)
    assert (version.version, version.parent) == (2, 1)
    assert [(p.proposal_id, p.state) for p in records_of(second, SchemaProposal)] == [
        (proposal.proposal_id, "superseded")
    ]
    refused = step(second.state, command(proposal.proposal_id))
    (reply,) = records_of(refused, CommandReply)
    assert not reply.accepted
    assert "superseded" in reply.reason


def test_an_accepted_proposal_is_the_next_version_with_its_cause() -> None:
    state, proposal = with_proposal(initial_state(), "b", "c")
    assert proposal.state == "open"
    assert '+  value: "b"' in proposal.diff
    result = step(state, command(proposal.proposal_id))
    (version,) = records_of(result, SchemaVersion)
    assert (version.version, version.parent, version.accepted_by) == (2, 1, "ann")
    assert version.caused_by[0] == proposal.record_id
    columns = {column.name: column for column in schema_text.schema_of(version).columns}
    assert columns["pay"].values == ("a", "b", "c")
    assert records_of(result, CommandReply)[0].accepted
    assert records_of(result, SchemaProposal)[0].state == "accepted"
    repeated = step(result.state, command(proposal.proposal_id, at=11.0))
    assert records_of(repeated, SchemaVersion) == []
    assert records_of(repeated, CommandReply)[0].accepted
    assert records_of(repeated, CommandReply)[0].result_id == version.record_id
    assert step(result.state, command(proposal.proposal_id)).records == ()


def test_a_proposal_is_accepted_only_while_its_base_is_current() -> None:
    state, proposal = with_proposal(initial_state(), "b")
    assert state.current is not None
    newer = replace(state.current, version=2, digest="newer", accepted_by="bob", reason="Mine.")
    decision = accept(proposal, newer, by="ann", reason="", now=1.0)
    assert decision.outcome == "refused"
    assert "version 2 is current (bob: Mine.)" in decision.reason
    assert "driftline schema propose m" in decision.reason


def test_a_rejected_change_is_not_proposed_again_but_further_changes_are() -> None:
    state, proposal = with_proposal(initial_state(), "b")
    result = step(state, command(proposal.proposal_id, "reject-schema"))
    assert [proposal.state for proposal in records_of(result, SchemaProposal)] == ["rejected"]
    state = result.state
    assert state.current is not None
    assert step(state, verdict(state.current, "b", at=2.0)).records == ()
    further = records_of(
        step(state, verdict(state.current, "b", at=3.0, new="tip")), SchemaProposal
    )
    assert [[c.act for c in p.changes] for p in further] == [["add_column"]]
    refused = records_of(step(state, command(proposal.proposal_id, at=12.0)), CommandReply)[0]
    assert not refused.accepted
    assert "rejected" in refused.reason
    decision = accept(result.state.rejected[0], state.current, by="a", reason="", now=1.0)
    assert decision.outcome == "refused"
    assert reject(proposal, state.current, by="a", reason="", now=1.0).outcome == "rejected"


def test_a_rejected_new_column_is_ignored_for_good() -> None:
    state = initial_state()
    assert state.current is not None
    result = step(state, verdict(state.current, "b", new="tip"))
    (proposal,) = records_of(result, SchemaProposal)
    state = step(result.state, command(proposal.proposal_id, "reject-schema")).state
    state = adopt_file(state, text=FILE.replace('"a"', '"a" value: "z"'), now=20.0).state
    assert state.current is not None
    assert state.current.version == 2
    again = step(state, verdict(state.current, "b", at=30.0, new="tip"))
    (second,) = records_of(again, SchemaProposal)
    assert [change.act for change in second.changes] == ["extend_domain"]
    other = step(again.state, verdict(state.current, "b", at=31.0, new="surge"))
    third = records_of(other, SchemaProposal)[-1]
    assert [change.feature for change in third.changes] == ["pay", "surge"]


def test_a_larger_finding_supersedes_and_a_smaller_one_changes_nothing() -> None:
    state, first = with_proposal(initial_state(), "b")
    assert state.current is not None
    result = step(state, verdict(state.current, "b", "c", at=2.0))
    superseded, proposal = records_of(result, SchemaProposal)
    assert (superseded.proposal_id, superseded.state) == (first.proposal_id, "superseded")
    assert proposal.state == "open"
    assert step(result.state, verdict(state.current, "c", at=3.0)).records == ()


def test_the_affected_users_include_the_live_version() -> None:
    promotion = Promotion(
        record_id="p", model="m", at=0.0, version=7, replaced=0, change="initial", reason="",
        artifact={}, reference=None, window_start=0.0, window_end=1.0,  # type: ignore[arg-type]
    )  # fmt: skip
    _, proposal = with_proposal(step(initial_state(), promotion).state, "b")
    assert "version 7, which is live" in proposal.affects[0]
    assert any("retrained" in line for line in proposal.affects)


def test_an_unknown_proposal_and_one_without_a_safe_change_are_refused() -> None:
    state = initial_state()
    assert not records_of(step(state, command("nothing")), CommandReply)[0].accepted
    assert state.current is not None
    missing = SchemaFinding(kind="missing_column", feature="pay", outcome="broken", reason="Gone.")
    broken = replace(verdict(state.current, "b"), findings=(missing,), outcome="broken")
    result = step(state, broken)
    (proposal,) = records_of(result, SchemaProposal)
    reply = records_of(step(result.state, command(proposal.proposal_id)), CommandReply)[0]
    assert (reply.accepted, "edit the schema file" in reply.reason) == (False, True)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["verdict", "accept", "reject", "file", "repeat"]),
            st.sampled_from(["b", "c", "d"]),
        ),
        max_size=25,
    )
)
@pytest.mark.filterwarnings("error")
def test_versions_form_one_chain_after_any_sequence_of_actions(
    actions: list[tuple[str, str]],
) -> None:
    state = initial_state()
    log = list(adopt_file(SchemaState(model="m"), text=FILE, now=0.0).records)
    for number, (action, value) in enumerate(actions):
        assert state.current is not None
        before = state
        if action == "verdict":
            result = step(state, verdict(state.current, value, at=float(number)))
        elif action == "file":
            result = adopt_file(state, text=FILE + "\n" * number, now=float(number))
        elif state.latest_proposal is None:
            continue
        else:
            kind = "reject-schema" if action == "reject" else "accept-schema"
            decision = command(state.latest_proposal.proposal_id, kind, at=float(number))
            result = step(state, decision)
            if action == "repeat":
                assert step(result.state, decision).records == ()
        state = result.state
        log += result.records
        if action == "file":
            assert adopt_file(before, text=FILE + "\n" * number, now=99.0).state.current is not None
    versions = [record for record in log if isinstance(record, SchemaVersion)]
    assert [version.version for version in versions] == list(range(1, len(versions) + 1))
    assert [version.parent for version in versions] == list(range(len(versions)))
    assert state.current is not None
    assert state.current.record_id == versions[-1].record_id
