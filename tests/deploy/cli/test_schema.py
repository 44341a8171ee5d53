"""`driftline schema`: check, propose, accept, reject, history, show, diff."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from deploy.app.deployment import Deployment
from deploy.daemon.assembly import checked_text
from deploy.records.reader import newest
from streaming.contracts.codec import decode
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import (
    Categories,
    Command,
    FeatureSummary,
    Record,
    SchemaFinding,
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
    WindowSummary,
)
from streaming.contracts.topics import COMMANDS
from streaming.engines.tfdv import schema_text
from streaming.schema.registry import SchemaState, adopt_file, handle
from tests.deploy.cli.runner import DEMO, run


def window(index: int, fare_missing: int = 0) -> WindowSummary:
    values = Categories(values=("Cash", "Crypto"), counts=(900, 100))
    return WindowSummary(
        record_id=f"w{index}", model="big_tipper", at=float(index),
        window_start=60.0 * index, window_end=60.0 * index + 60,
        accepted=1000, dead_letters=0, late=0, offsets_read=1000, offsets=(),
        features=(
            FeatureSummary(name="payment_type", rows=1000, missing=0, categories=values),
            FeatureSummary(name="fare", rows=1000, missing=fare_missing),
        ),
    )  # fmt: skip


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


def schema(log: MemoryLog, *words: str) -> tuple[int, str]:
    """Exit code and stdout of ``driftline schema WORDS``."""
    shown = run("schema", *words, log=log)
    return shown.exit_code, shown.stdout


def test_a_new_value_is_found_shown_as_a_diff_and_written(log: MemoryLog, tmp_path: Path) -> None:
    log.append([window(index) for index in range(3)])
    code, shown = schema(log, "check", "big_tipper")
    assert code == 0
    assert "suspected" in shown
    assert "unseen value" in shown
    after = tmp_path / "next.pbtxt"
    code, shown = schema(log, "propose", "big_tipper", "--write", str(after))
    assert code == 0
    assert '+  value: "Crypto"' in shown
    kept = {column.name: column for column in schema_text.read_schema(after).columns}
    assert "Crypto" in kept["payment_type"].values
    assert schema(log, "propose", "big_tipper", "--write", str(after))[0] == 5
    code, shown = schema(log, "propose", "big_tipper", "--json")
    assert [change["act"] for change in json.loads(shown)["changes"]] == ["extend_domain"]


def test_a_broken_column_is_exit_4_and_json_is_still_the_report(log: MemoryLog) -> None:
    log.append([window(0), msgspec.structs.replace(window(1, 1000), at=1.0)])
    code, shown = schema(log, "check", "big_tipper", "--json")
    assert code == 4
    assert json.loads(shown)["outcome"] == "broken"


def test_no_window_is_not_found(log: MemoryLog) -> None:
    assert log.spans("window-statistics") is not None
    assert schema(log, "check", "big_tipper")[0] == 3


class SchemaDaemon:
    """The daemon's part for schemas, over the same log."""

    def __init__(self, log: MemoryLog) -> None:
        self.log, self.state = log, SchemaState(model="big_tipper")
        path = Deployment.load(DEMO).contract("big_tipper").schema_path
        step = adopt_file(self.state, text=checked_text(path), now=1.0)
        self.state = step.state
        log.append(step.records)

    def take(self, record: Record) -> None:
        step = handle(self.state, record, edit=schema_text.apply_changes, now=time.time())  # type: ignore[arg-type]
        self.state = step.state
        self.log.append(step.records)

    def serve(self, stop: threading.Event) -> None:
        for message in self.log.follow([COMMANDS.name], from_start=False):
            if stop.is_set():
                return
            if message is not None and message.value is not None:
                record = decode(message.value)
                assert isinstance(record, Command)
                self.take(record)


@pytest.fixture
def daemon(log: MemoryLog) -> Iterator[SchemaDaemon]:
    running, stop = SchemaDaemon(log), threading.Event()
    thread = threading.Thread(target=running.serve, args=(stop,))
    thread.start()
    yield running
    stop.set()
    thread.join()


def open_proposal(log: MemoryLog, daemon: SchemaDaemon) -> SchemaProposal:
    log.append([window(index) for index in range(3)])
    code, shown = schema(log, "check", "big_tipper", "--json")
    assert code == 0
    daemon.take(msgspec.json.decode(shown, type=SchemaVerdict))
    return newest(log, SchemaProposal, "big_tipper", 1)[0]


def test_a_proposal_is_accepted_once_and_the_versions_are_shown(
    log: MemoryLog, daemon: SchemaDaemon
) -> None:
    proposal = open_proposal(log, daemon)
    code, shown = schema(log, "propose", "big_tipper", "--json")
    assert json.loads(shown)["id"] == proposal.proposal_id
    code, shown = schema(log, "propose", "big_tipper")
    assert "affects: The stream job" in shown

    assert (
        schema(log, "accept", proposal.proposal_id[:6], "--yes", "--reason", "a new way to pay")[0]
        == 0
    )
    code, shown = schema(
        log, "accept", proposal.proposal_id, "--reason", "again", "--json", "--yes"
    )
    assert (code, json.loads(shown)["accepted"]) == (0, True)
    first, second = newest(log, SchemaVersion, "big_tipper", 9)
    assert (first.version, second.version, second.parent) == (1, 2, 1)
    assert second.reason == "a new way to pay"

    code, shown = schema(log, "history", "big_tipper", "--json")
    listed = json.loads(shown)
    assert [version["version"] for version in listed["versions"]] == [1, 2]
    assert listed["open"] == []
    assert schema(log, "show", "big_tipper")[1] == second.text
    assert schema(log, "show", "big_tipper", "1")[1] == first.text
    assert schema(log, "show", "big_tipper", "7")[0] == 3
    assert '+  value: "Crypto"' in schema(log, "diff", "big_tipper", "1", "2")[1].splitlines()
    assert schema(log, "check", "big_tipper")[1].startswith("conforms")


def test_a_rejected_proposal_cannot_be_accepted_and_an_unknown_one_is_not_found(
    log: MemoryLog, daemon: SchemaDaemon
) -> None:
    proposal = open_proposal(log, daemon)
    assert schema(log, "reject", proposal.proposal_id, "--reason", "a bug")[0] == 0
    assert schema(log, "accept", proposal.proposal_id, "--reason", "no", "--yes")[0] == 5
    assert schema(log, "accept", "ffff", "--reason", "no", "--yes")[0] == 3
    assert [version.version for version in newest(log, SchemaVersion, "big_tipper", 9)] == [1]


def test_before_the_first_published_version_the_file_is_in_force(log: MemoryLog) -> None:
    assert not newest(log, SchemaVersion, "big_tipper", 1)
    code, shown = schema(log, "show", "big_tipper", "--json")
    path = Deployment.load(DEMO).contract("big_tipper").schema_path
    assert code == 0
    assert json.loads(shown)["version"] == 0
    assert json.loads(shown)["digest"] == schema_text.read_schema(Path(path)).digest


def test_the_stream_jobs_own_verdict_is_shown_with_its_version_and_skew_in_sd(
    log: MemoryLog,
) -> None:
    log.append([window(index) for index in range(3)])
    skew = SchemaFinding(
        kind="skew", feature="fare", outcome="suspected", reason="Since version 3.", value=1.2,
        limit=0.25, n=1000, hits=4,
    )  # fmt: skip
    verdict = SchemaVerdict(
        record_id="v", model="big_tipper", at=9.0, window_start=0.0, window_end=9.0,
        outcome="suspected", reason="skew: fare.", rows=1000, schema_version=4, schema_digest="d",
        findings=(skew,),
    )  # fmt: skip
    log.append([verdict])
    code, shown = schema(log, "check", "big_tipper")
    assert code == 0
    assert "against version 4 of its schema" in shown
    assert "+1.20 sd" in shown
    assert "4 of 5" in shown
