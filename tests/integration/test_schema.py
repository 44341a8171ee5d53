"""A new column appears, is proposed and accepted; job and retrain take the same version."""

from __future__ import annotations

from deploy.records import reader
from streaming.contracts.ids import digest
from streaming.contracts.records import (
    AnyRecord,
    CommandReply,
    ModelVersion,
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
)
from tests.integration.walk import Walk, ask, command, to_version_one


def test_an_accepted_column_is_known_to_the_job_and_to_the_next_retrain(walk: Walk) -> None:
    to_version_one(walk)
    assert {one.outcome for one in walk.all(SchemaVerdict)} == {"conforms"}
    assert walk.all(SchemaProposal) == []

    for _ in range(4):
        walk.window(extra={"surge": 1.5})
    (proposal,) = walk.all(SchemaProposal)
    assert walk.loop.proposal_waits
    assert [(one.act, one.feature, one.type) for one in proposal.changes] == [
        ("add_column", "surge", "number")
    ]
    assert '+  name: "surge"' in proposal.diff
    assert "version 1, which is live" in proposal.affects[0]

    command(walk, "accept-schema", "a new tariff", proposal.proposal_id)
    command(walk, "accept-schema", "a colleague, at the same time", proposal.proposal_id)
    for _ in range(2):
        walk.window(extra={"surge": 1.5})
    assert not walk.loop.proposal_waits
    first, second = walk.all(SchemaVersion)
    assert (first.version, second.version) == (1, 2)
    assert second.digest == digest(second.text.encode())
    assert 'name: "surge"' in second.text
    judged = walk.all(SchemaVerdict)[-1]
    assert (judged.outcome, judged.schema_version, judged.findings) == ("conforms", 2, ())
    assert judged.schema_digest == second.digest
    decided = [one for one in walk.all(SchemaProposal) if one.state != "open"]
    assert [(one.state, one.decided_by) for one in decided] == [("accepted", "tester")]
    assert sum(one.result_id == second.record_id for one in walk.all(CommandReply)) == 2

    ask(walk, "use it")
    for _ in range(3):
        walk.window(extra={"surge": 1.5})
    before, after = walk.all(ModelVersion)
    assert (before.schema_version, after.schema_version) == (1, 2)
    assert after.schema_digest == judged.schema_digest
    assert walk.trainer.schemas == [first.text, second.text]

    found: list[AnyRecord] = []
    chain = [reader.trace(walk.log, after.record_id, walk.contract.model)]
    for link in chain:
        found.append(link.record)
        chain += link.causes
    kinds = {type(one) for one in found}
    assert {SchemaVersion, SchemaProposal, SchemaVerdict} <= kinds
    assert any("schema version 2" in reader.sentence(one) for one in found)


def test_a_rejected_change_stays_out_and_is_not_offered_again(walk: Walk) -> None:
    to_version_one(walk)
    for _ in range(4):
        walk.window(extra={"debug": "x"})
    (proposal,) = walk.all(SchemaProposal)
    command(walk, "reject-schema", "a bug of the producer", proposal.proposal_id)
    for _ in range(3):
        walk.window(extra={"debug": "x"})
    assert [one.version for one in walk.all(SchemaVersion)] == [1]
    assert {one.proposal_id for one in walk.all(SchemaProposal)} == {proposal.proposal_id}
    assert walk.all(SchemaVerdict)[-1].outcome == "suspected"
