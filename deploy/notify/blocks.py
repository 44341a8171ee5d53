"""Alerts as Slack's Block Kit. Pure; slack-sdk's models refuse what Slack would refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ConfirmObject,
    ContextBlock,
    HeaderBlock,
    InputBlock,
    MarkdownTextObject,
    PlainTextInputElement,
    PlainTextObject,
    SectionBlock,
)

from deploy.notify.alerts import AlertGroup, AlertText, left_out, texts, title

APPROVE, REJECT = "driftline_approve", "driftline_reject"
REASON_BLOCK, REASON = "driftline_reason", "reason"
MAX_REASON = 2000
_HEADER, _SECTION, _FIELD = 150, 2900, 1900


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An open approval request, as a message shows it."""

    request_id: str
    model: str
    version: int
    text: str
    """What is asked, in a sentence or two."""
    on_yes: str
    on_no: str
    deadline: str
    """Until when, as text."""
    link: str
    """The page with all pictures of the change."""


def blocks_of(group: AlertGroup, question: Question | None = None) -> list[dict[str, Any]]:
    """The blocks of a message; with a question, its buttons."""
    blocks: list[Block] = [HeaderBlock(text=_cut(printable(title(group)), _HEADER))]
    for text in texts(group):
        blocks += _alert(text)
    omitted = left_out(group)
    if omitted:
        blocks.append(ContextBlock(elements=[PlainTextObject(text=f"and {omitted} more")]))
    if question is not None and group.status == "firing":
        blocks += _question(question)
    return [block.to_dict() for block in blocks]


def _alert(text: AlertText) -> list[Block]:
    state = "Resolved: " if text.status == "resolved" else ""
    links = " · ".join(
        link for link in (_link(text.link, "Console"), _link(text.runbook, "What to do")) if link
    )
    summary = f"*{escaped(state + text.name)}* ({escaped(text.severity)})\n{escaped(text.summary)}"
    section = SectionBlock(
        text=_markdown(_cut(summary, _SECTION)),
        fields=[
            _markdown(_cut(f"*{name.capitalize()}*\n{escaped(value)}", _FIELD))
            for name, value in text.facts
        ]
        or None,
    )
    if not links:
        return [section]
    return [section, ContextBlock(elements=[_markdown(links)])]


def _markdown(text: str) -> MarkdownTextObject:
    """Text in which Slack makes no links by itself, of addresses or names of channels."""
    return MarkdownTextObject(text=text, verbatim=True)


def _question(question: Question) -> list[Block]:
    what = (
        f"*Version {question.version} of {escaped(question.model)} waits for a decision* until "
        f"{escaped(question.deadline)}.\n{escaped(question.text)}\n"
        f"*Yes:* {escaped(question.on_yes)}\n*No:* {escaped(question.on_no)}\n"
        f"{_link(question.link, 'All pictures and evaluations')}"
    )
    reason = PlainTextInputElement(action_id=REASON, max_length=MAX_REASON, multiline=False)
    return [
        SectionBlock(text=_markdown(_cut(what, _SECTION))),
        InputBlock(
            block_id=REASON_BLOCK,
            label="Reason (a no needs one)",
            element=reason,
            optional=True,
        ),
        ActionsBlock(
            elements=[
                _button("Approve", APPROVE, question.request_id, "primary", question.on_yes),
                _button("Reject", REJECT, question.request_id, "danger", question.on_no),
            ]
        ),
    ]


def _button(text: str, action: str, value: str, style: str, then: str) -> ButtonElement:
    return ButtonElement(
        text=text,
        action_id=action,
        value=value,
        style=style,
        confirm=ConfirmObject(
            title=f"{text}?", text=PlainTextObject(text=_cut(then, 290)), confirm=text, deny="Back"
        ),
    )


def escaped(text: str) -> str:
    """Text that Slack shows as it is: no mention, link or mark-up of its own.

    >>> escaped("<!channel> & *x*")
    '&lt;!channel&gt; &amp; ∗x∗'
    """
    for character, replacement in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, replacement)
    for character, replacement in (("*", "∗"), ("`", "ˋ"), ("~", "∼")):
        text = text.replace(character, replacement)
    return printable(text)


def printable(text: str) -> str:
    """Text without control characters and changes of direction; a line break stays."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)


def _link(url: str, text: str) -> str:
    """A link; empty for anything but a plain http address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or not url.isprintable():
        return ""
    if set(url) & set('<>|" '):
        return ""
    return f"<{url.replace('&', '&amp;')}|{text}>"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
