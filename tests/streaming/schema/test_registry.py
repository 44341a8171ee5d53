"""Proposals and versions: one writer, one current version, no decision twice."""

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
from streaming.schema.registry import SchemaState, SchemaStep, handle, tick

R = TypeVar("R", bound=Record)
FILE = (
    'feature { name: "pay" type: BYTES domain: "pays" }\nstring_domain { name: "pays" value: "a" }'
)


def verdict(base: SchemaVersion, *values: str, at: float = 1.0, new: str = "") -> SchemaVerdict:
    found = [
        SchemaFinding(
            kind="unseen_value", feature="pay", outcome="suspected", reason="New.", value=0.1,
            limit=0.001, n=1000, hits=3, values=values,
        )
    ]  # fmt: skip
    if new:
        found.append(
            SchemaFinding(
                kind="new_column", feature=new, outcome="suspected", reason="", values=("text",)
            )
        )
    return SchemaVerdict(
        record_id=f"v{at}{values}{new}", model="m", at=at, window_start=at, window_end=at + 1,
        outcome="suspected", reason="It lasts.", rows=1000, schema_version=base.version,
        schema_digest=base.digest, findings=tuple(found),
    )  # fmt: skip


def command(
    ident: str, action: str = "accept-schema", who: str = "ann", at: float = 9.0
) -> Command:
    return Command(
        record_id=f"c{ident}{action}{who}{at}", model="m", at=at, action=action,  # type: ignore[arg-type]
        reason="Known.", who=who, subject=ident,
    )  # fmt: skip


def step(state: SchemaState, record: Record) -> SchemaStep:
    return handle(state, record, edit=schema_text.changed, now=10.0)  # type: ignore[arg-type]


def started() -> SchemaState:
    return tick(SchemaState(model="m"), file=FILE, now=0.0).state


def of(made: SchemaStep, kind: type[R]) -> list[R]:
    return [record for record in made.records if isinstance(record, kind)]


def offered(state: SchemaState, *values: str) -> tuple[SchemaState, SchemaProposal]:
    assert state.current is not None
    made = step(state, verdict(state.current, *values))
    return made.state, of(made, SchemaProposal)[-1]


def test_the_file_is_version_1_and_a_changed_file_the_next() -> None:
    first = tick(SchemaState(model="m"), file=FILE, now=0.0)
    (version,) = of(first, SchemaVersion)
    assert (version.version, version.parent, version.text) == (1, 0, FILE)
    assert tick(first.state, file=FILE, now=1.0).records == ()
    state, proposal = offered(first.state, "b")
    second = tick(state, file=FILE + "\n", now=2.0)
    (version,) = of(second, SchemaVersion)
    assert (version.version, version.parent) == (2, 1)
    assert [(p.proposal_id, p.state) for p in of(second, SchemaProposal)] == [
        (proposal.proposal_id, "superseded")
    ]
    refused = step(second.state, command(proposal.proposal_id))
    (answer,) = of(refused, CommandReply)
    assert not answer.accepted
    assert "superseded" in answer.reason


def test_an_accepted_proposal_is_the_next_version_and_names_why() -> None:
    state, proposal = offered(started(), "b", "c")
    assert proposal.state == "open"
    assert '+  value: "b"' in proposal.diff
    made = step(state, command(proposal.proposal_id))
    (version,) = of(made, SchemaVersion)
    assert (version.version, version.parent, version.accepted_by) == (2, 1, "ann")
    assert version.caused_by[0] == proposal.record_id
    columns = {one.name: one for one in schema_text.of_version(version).columns}
    assert columns["pay"].values == ("a", "b", "c")
    assert of(made, CommandReply)[0].accepted
    assert of(made, SchemaProposal)[0].state == "accepted"
    again = step(made.state, command(proposal.proposal_id, at=11.0))
    assert of(again, SchemaVersion) == []
    assert of(again, CommandReply)[0].accepted
    assert of(again, CommandReply)[0].result_id == version.record_id
    assert step(made.state, command(proposal.proposal_id)).records == ()


def test_a_proposal_lives_only_while_its_base_is_current() -> None:
    state, proposal = offered(started(), "b")
    assert state.current is not None
    other = replace(state.current, version=2, digest="other", accepted_by="bob", reason="Mine.")
    decision = accept(proposal, other, by="ann", reason="", now=1.0)
    assert decision.outcome == "refused"
    assert "version 2 is current (bob: Mine.)" in decision.reason
    assert "driftline schema propose m" in decision.reason


def test_what_was_rejected_is_not_offered_again_but_more_is() -> None:
    state, proposal = offered(started(), "b")
    made = step(state, command(proposal.proposal_id, "reject-schema"))
    assert [one.state for one in of(made, SchemaProposal)] == ["rejected"]
    state = made.state
    assert state.current is not None
    assert step(state, verdict(state.current, "b", at=2.0)).records == ()
    more = of(step(state, verdict(state.current, "b", at=3.0, new="tip")), SchemaProposal)
    assert [[c.act for c in one.changes] for one in more] == [["add_column"]]
    refused = of(step(state, command(proposal.proposal_id, at=12.0)), CommandReply)[0]
    assert not refused.accepted
    assert "rejected" in refused.reason
    kept = accept(made.state.rejected[0], state.current, by="a", reason="", now=1.0)
    assert kept.outcome == "refused"
    assert reject(proposal, state.current, by="a", reason="", now=1.0).outcome == "rejected"


def test_a_larger_finding_supersedes_and_a_smaller_one_says_nothing() -> None:
    state, first = offered(started(), "b")
    assert state.current is not None
    made = step(state, verdict(state.current, "b", "c", at=2.0))
    old, new = of(made, SchemaProposal)
    assert (old.proposal_id, old.state) == (first.proposal_id, "superseded")
    assert new.state == "open"
    assert step(made.state, verdict(state.current, "c", at=3.0)).records == ()


def test_who_is_affected_names_the_live_version() -> None:
    promoted = Promotion(
        record_id="p", model="m", at=0.0, version=7, replaced=0, change="initial", reason="",
        artifact={}, reference=None, window_start=0.0, window_end=1.0,  # type: ignore[arg-type]
    )  # fmt: skip
    _, proposal = offered(step(started(), promoted).state, "b")
    assert "version 7, which is live" in proposal.affects[0]
    assert any("retrained" in line for line in proposal.affects)


def test_an_unknown_proposal_and_one_that_writes_nothing_are_refused() -> None:
    state = started()
    assert not of(step(state, command("nothing")), CommandReply)[0].accepted
    assert state.current is not None
    gone = SchemaFinding(kind="missing_column", feature="pay", outcome="broken", reason="Gone.")
    broken = replace(verdict(state.current, "b"), findings=(gone,), outcome="broken")
    made = step(state, broken)
    (proposal,) = of(made, SchemaProposal)
    answer = of(step(made.state, command(proposal.proposal_id)), CommandReply)[0]
    assert (answer.accepted, "edit the schema file" in answer.reason) == (False, True)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["see", "accept", "reject", "file", "again"]),
            st.sampled_from(["b", "c", "d"]),
        ),
        max_size=25,
    )
)
@pytest.mark.filterwarnings("error")
def test_versions_form_one_chain_whatever_happens(moves: list[tuple[str, str]]) -> None:
    state = started()
    log = list(tick(SchemaState(model="m"), file=FILE, now=0.0).records)
    for number, (move, value) in enumerate(moves):
        assert state.current is not None
        before = state
        if move == "see":
            made = step(state, verdict(state.current, value, at=float(number)))
        elif move == "file":
            made = tick(state, file=FILE + "\n" * number, now=float(number))
        elif state.offered is None:
            continue
        else:
            action = "reject-schema" if move == "reject" else "accept-schema"
            asked = command(state.offered.proposal_id, action, at=float(number))
            made = step(state, asked)
            if move == "again":
                assert step(made.state, asked).records == ()
        state = made.state
        log += made.records
        if move == "file":
            assert tick(before, file=FILE + "\n" * number, now=99.0).state.current is not None
    versions = [one for one in log if isinstance(one, SchemaVersion)]
    assert [one.version for one in versions] == list(range(1, len(versions) + 1))
    assert [one.parent for one in versions] == list(range(len(versions)))
    assert state.current is not None
    assert state.current.record_id == versions[-1].record_id
