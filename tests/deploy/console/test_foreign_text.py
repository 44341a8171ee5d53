"""Text of other programs and people is shown, never interpreted: every field of every record."""

from __future__ import annotations

from typing import Any, get_args
from urllib.parse import quote

import msgspec
import pytest

from deploy.console.context import Console
from deploy.projection.rows import kind_of
from streaming.contracts import topics
from streaming.contracts.codec import decode, encode
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import AnyRecord, ApprovalRequest, DeadLetter, SchemaProposal
from tests.deploy.console import scenario
from tests.deploy.console.consoles import FORM_HEADERS, browser, console_on

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{1234*5678}}\u202e\x1b[31m"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"
_STRUCTURE = frozenset(
    {
        "kind", "record_id", "model", "caused_by", "request_id", "rollout_id", "command_id",
        "subject", "digest", "artifact", "evaluation", "comparison_id", "outcome", "phase",
        "action", "change", "channel", "stage", "state", "cause", "proposal_id", "uri",
        "experiment_id", "base_digest", "payload", "data", "experiment", "format_version", "act",
        "test", "raised_by", "name", "mode", "schema_digest", "rules_digest", "history_digest",
        "inputs", "latest_inputs", "edges", "component", "gate", "topic", "decided", "previous",
        "evidence_digest", "statistics", "reference_id", "comparison", "answer", "value_kind",
    }
)  # fmt: skip
"""Fields that other records refer to, or that have fixed values."""


def poisoned(content: Any, field: str = "") -> Any:
    """The same record with `EVIL` in every field of free text."""
    if isinstance(content, dict):
        return {
            name: value if name in _STRUCTURE and name != "comparison" else poisoned(value, name)
            for name, value in content.items()
        }
    if isinstance(content, list):
        return [poisoned(entry, field) for entry in content]
    return f"{content}{EVIL}" if isinstance(content, str) else content


def poisoned_log() -> MemoryLog:
    """The records of the control loop, with `EVIL` wherever a record has free text."""
    loop, log = scenario.shared(), MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    for kind in get_args(AnyRecord):
        if kind_of(kind) in ("reference-summary", "rules-in-force", "rollout-inputs"):
            continue
        for record in loop.records(kind):
            content = msgspec.json.decode(encode(record))
            log.append([decode(msgspec.json.encode(poisoned(content)))])
    log.append(extra_records(loop.clock.now()))
    return log


def extra_records(now: float) -> list[DeadLetter | SchemaProposal]:
    """Kinds that the control loop did not write."""
    proposal = SchemaProposal(
        record_id="proposal",
        model=scenario.MODEL,
        at=now,
        proposal_id="abc",
        state="open",
        base_version=1,
        base_digest="d",
        digest="e",
        text=EVIL,
        diff=EVIL,
        changes=(),
        affects=(EVIL,),
        evidence=(),
        reason=EVIL,
    )
    dead = DeadLetter(
        record_id="dead",
        model=scenario.MODEL,
        at=now,
        topic=EVIL,
        partition=0,
        offset=1,
        reason=EVIL,
        detail=EVIL,
        field=EVIL,
        payload=EVIL.encode(),
        payload_bytes=len(EVIL.encode()),
    )
    return [proposal, dead]


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    folder = tmp_path_factory.mktemp("poisoned")
    now = scenario.shared().clock.now()
    unlimited = {"requests": 100_000}
    return console_on(poisoned_log(), folder, now=now, who=EVIL, access=unlimited)


def assert_harmless(text: str) -> None:
    for part in ("<script>alert", "<img src=x", "\u202e", "\x1b"):
        assert part not in text
    assert "7006652" not in text


def test_foreign_text_is_shown_on_every_page_and_interpreted_on_none(console: Console) -> None:
    pages = browser(console)
    model = scenario.MODEL
    requests = [row.record_id for row in console.reader.newest(ApprovalRequest, count=9)]
    records = [row.record_id for row in console.reader.timeline(model, since=0.0, count=300)]
    addresses = [
        "/",
        f"/models/{model}",
        "/approvals",
        "/dead-letters",
        "/settings",
        *(f"/approvals/{request}" for request in requests),
        *(f"/records/{record}" for record in records),
    ]
    assert len(records) > 100
    shown = 0
    for address in addresses:
        response = pages.get(address)
        assert response.status_code == 200, address
        assert_harmless(response.text)
        shown += ESCAPED in response.text
    assert shown > 0.9 * len(addresses)


def test_foreign_text_in_addresses_and_forms_comes_back_escaped(console: Console) -> None:
    pages = browser(console)
    evil = quote(EVIL, safe="")
    for address in (
        f"/models/{evil}",
        f"/models/{scenario.MODEL}?feature={evil}",
        f"/records/{evil}",
        f"/approvals/{evil}",
        f"/dead-letters?model={evil}&reason={evil}",
        f"/pictures/{evil}/drift.svg",
        f"/pictures/{scenario.MODEL}/drift.svg?variant={evil}",
    ):
        response = pages.get(address)
        assert response.status_code in (200, 404), address
        assert_harmless(response.text)
        assert "\n" not in str(response.headers)
    (row,) = console.reader.open_requests()
    form = {"answer": "approve", "digest": EVIL, "reason": EVIL}
    response = pages.post(f"/approvals/{row.record_id}", data=form, headers=FORM_HEADERS)
    assert response.status_code == 409
    assert_harmless(response.text)
    assert ESCAPED in response.text


def test_pictures_hold_no_script(console: Console) -> None:
    picture = browser(console).get(f"/pictures/{scenario.MODEL}/drift.svg")
    assert picture.status_code == 200
    for part in ("<script", "<img", "\u202e", "\x1b"):
        assert part not in picture.text
