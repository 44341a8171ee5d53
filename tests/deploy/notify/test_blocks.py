"""Messages: what they say, and that hostile text changes nothing but text."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from deploy.notify.alerts import decode_group, texts
from deploy.notify.blocks import Question, blocks_of
from deploy.notify.local_receiver import problem_of
from streaming.contracts.errors import PermanentError
from tests.deploy.notify.groups import group

QUESTION = Question(
    request_id="approval-request-1", model="big_tipper", version=5, text="The tips have changed.",
    on_yes="The canary begins at 5 %.", on_no="Version 4 stays.", deadline="2026-01-01 10:00 UTC",
    link="http://console/approvals/approval-request-1",
)  # fmt: skip


def test_a_message_says_value_limit_feature_version_and_links() -> None:
    blocks = blocks_of(group())
    assert problem_of(blocks) == ""
    text = json.dumps(blocks, ensure_ascii=False)
    for part in (
        "3 windows", "0.5 standard deviations", "fare, tip", "*Version*", "3 windows have drifted",
        "<http://console/models/big_tipper|Console>", "runbook#driftlinedrifted|What to do>",
    ):  # fmt: skip
        assert part in text, part


def test_a_question_has_its_buttons_and_a_field_for_the_reason() -> None:
    blocks = blocks_of(group("approval"), QUESTION)
    assert problem_of(blocks) == ""
    assert [block["type"] for block in blocks[-2:]] == ["input", "actions"]
    buttons = blocks[-1]["elements"]
    assert {button["value"] for button in buttons} == {QUESTION.request_id}
    assert [button["style"] for button in buttons] == ["primary", "danger"]
    assert all("confirm" in button for button in buttons)


def test_nobody_is_asked_any_more_when_it_is_resolved() -> None:
    blocks = blocks_of(group("approval", status="resolved"), QUESTION)
    assert "actions" not in [block["type"] for block in blocks]
    assert "Resolved: " in json.dumps(blocks)


@pytest.mark.parametrize(
    "text",
    ["<!channel> <https://evil|here>", "x" * 9000, "a\x00b\u202ec", "*bold* `code` ~gone~", "&lt;"],
)
def test_hostile_text_is_shown_as_text(text: str) -> None:
    hostile = group("drift", text[:50], summary=text, value=text, feature=text, version=text)
    blocks = blocks_of(hostile)
    assert problem_of(blocks) == ""
    assert "\\u0000" not in json.dumps(blocks, ensure_ascii=False)
    shown = json.dumps([b for b in blocks if b["type"] != "header"], ensure_ascii=False)
    for part in ("<!", "<https://evil", "\\u0000", "\u202e", "`code`"):
        assert part not in shown


@pytest.mark.parametrize("link", ["javascript:alert(1)", "http://a|b>", "/models/m", "http://"])
def test_what_is_no_plain_address_is_no_link(link: str) -> None:
    (text,) = texts(group(link=link))
    assert link == text.link
    assert "|Console>" not in json.dumps(blocks_of(group(link=link)))


def test_many_alerts_are_cut_and_counted() -> None:
    drifted = group()
    blocks = blocks_of(replace(drifted, alerts=drifted.alerts * 14))
    assert problem_of(blocks) == ""
    assert "and 4 more" in json.dumps(blocks)


@pytest.mark.parametrize("text", [b"", b"[]", b'{"status": "gone", "alerts": []}', b"\xff", b"{"])
def test_what_is_no_notification_is_refused(text: bytes) -> None:
    with pytest.raises(PermanentError):
        decode_group(text)
