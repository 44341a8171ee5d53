"""A new column is proposed and accepted; stream job and retrain use the same schema version."""

from __future__ import annotations

from deploy.records.describe import describe
from deploy.records.lineage import trace
from streaming.contracts.ids import digest
from streaming.contracts.records import (
    AnyRecord,
    CommandReply,
    ModelVersion,
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
)
from tests.integration.control_loop import (
    ControlLoop,
    request_retrain,
    send_command,
    to_version_one,
)


def test_the_job_and_the_next_retrain_use_an_accepted_column(loop: ControlLoop) -> None:
    to_version_one(loop)
    assert {verdict.outcome for verdict in loop.records(SchemaVerdict)} == {"conforms"}
    assert loop.records(SchemaProposal) == []

    for _ in range(4):
        loop.window(extra={"surge": 1.5})
    (proposal,) = loop.records(SchemaProposal)
    assert loop.controller.proposal_waits
    assert [(change.act, change.feature, change.type) for change in proposal.changes] == [
        ("add_column", "surge", "number")
    ]
    assert '+  name: "surge"' in proposal.diff
    assert "version 1, which is live" in proposal.affects[0]

    send_command(loop, "accept-schema", "a new tariff", proposal.proposal_id)
    send_command(loop, "accept-schema", "a colleague, at the same time", proposal.proposal_id)
    for _ in range(2):
        loop.window(extra={"surge": 1.5})
    assert not loop.controller.proposal_waits
    first, second = loop.records(SchemaVersion)
    assert (first.version, second.version) == (1, 2)
    assert second.digest == digest(second.text.encode())
    assert 'name: "surge"' in second.text
    newest = loop.records(SchemaVerdict)[-1]
    assert (newest.outcome, newest.schema_version, newest.findings) == ("conforms", 2, ())
    assert newest.schema_digest == second.digest
    decided = [entry for entry in loop.records(SchemaProposal) if entry.state != "open"]
    assert [(entry.state, entry.decided_by) for entry in decided] == [("accepted", "tester")]
    assert sum(reply.result_id == second.record_id for reply in loop.records(CommandReply)) == 2

    request_retrain(loop, "use it")
    for _ in range(3):
        loop.window(extra={"surge": 1.5})
    before, after = loop.records(ModelVersion)
    assert (before.schema_version, after.schema_version) == (1, 2)
    assert after.schema_digest == newest.schema_digest
    assert loop.trainer.schemas == [first.text, second.text]

    records: list[AnyRecord] = []
    chain = [trace(loop.log, after.record_id, loop.contract.model)]
    for link in chain:
        records.append(link.record)
        chain += link.causes
    kinds = {type(record) for record in records}
    assert {SchemaVersion, SchemaProposal, SchemaVerdict} <= kinds
    assert any("schema version 2" in describe(record) for record in records)


def test_a_rejected_change_is_not_proposed_again(loop: ControlLoop) -> None:
    to_version_one(loop)
    for _ in range(4):
        loop.window(extra={"debug": "x"})
    (proposal,) = loop.records(SchemaProposal)
    send_command(loop, "reject-schema", "a bug of the producer", proposal.proposal_id)
    for _ in range(3):
        loop.window(extra={"debug": "x"})
    assert [version.version for version in loop.records(SchemaVersion)] == [1]
    assert {entry.proposal_id for entry in loop.records(SchemaProposal)} == {proposal.proposal_id}
    assert loop.records(SchemaVerdict)[-1].outcome == "suspected"
