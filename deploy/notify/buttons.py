"""A pressed button: is it Slack's, is it new, who pressed it, and what did the message show?

Checks the signature before it reads anything else. The button carries only the request's id; the
digest that the decision is bound to is the one that this message showed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

import msgspec
from slack_sdk.signature import Clock, SignatureVerifier

from deploy.notify.blocks import APPROVE, REASON, REASON_BLOCK, REJECT
from deploy.notify.history import History

MAX_BODY = 100_000
MAX_TIMESTAMP = 12
"""Digits of a time in seconds; an endless number is none."""


class _User(msgspec.Struct, frozen=True):
    id: str
    name: str = ""


class _Message(msgspec.Struct, frozen=True):
    ts: str


class _Action(msgspec.Struct, frozen=True):
    action_id: str
    value: str = ""


class _Input(msgspec.Struct, frozen=True):
    value: str | None = None


class _State(msgspec.Struct, frozen=True):
    values: dict[str, dict[str, _Input]] = {}


class _Payload(msgspec.Struct, frozen=True):
    type: str
    user: _User
    actions: tuple[_Action, ...] = ()
    message: _Message | None = None
    state: _State | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A decision by a button, checked as far as Slack and the messages go."""

    request_id: str
    digest: str
    answer: str
    """``approve`` or ``reject``."""
    reason: str
    person: str
    """Name of the person, as `rollout.approvers` has it."""
    message: str
    """The message with the button."""


@dataclass(frozen=True, slots=True)
class PressRefused:
    """Why a press is not taken."""

    status: int
    """HTTP status of the answer: 400 unreadable, 401 not signed by Slack, 403 unknown person, 409
    seen before, 200 nothing to do."""
    reason: str
    message: str = ""
    """The message to say it at; empty where it is told to nobody."""


class _Fixed(Clock):
    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        return self._now


def is_signed(secret: str, body: bytes, timestamp: str, signature: str, now: float) -> bool:
    """Whether Slack signed this body within the last five minutes."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= MAX_TIMESTAMP):
        return False  # slack-sdk raises an error for it
    verifier = SignatureVerifier(secret, clock=_Fixed(now))
    try:
        return bool(verifier.is_valid(body, timestamp, signature))
    except (ValueError, TypeError):
        return False


def read_press(
    body: bytes,
    *,
    secret: str,
    timestamp: str,
    signature: str,
    people: Mapping[str, str],
    history: History,
    now: float,
) -> Press | PressRefused:
    """The decision in a request of Slack, or why it is none.

    Parameters
    ----------
    people:
        Names by Slack's user id.
    """
    if not is_signed(secret, body, timestamp, signature, now):
        return PressRefused(401, "The request is not signed by Slack, or too old.")
    payload = _payload(body)
    if payload is None:
        return PressRefused(400, "The request cannot be read.")
    if not history.first_press(signature, now):
        return PressRefused(409, "The request was received before.")
    actions = [a for a in payload.actions if a.action_id in (APPROVE, REJECT)]
    if payload.type != "block_actions" or len(actions) != 1 or payload.message is None:
        return PressRefused(200, "No button of Driftline.")
    action, message = actions[0], payload.message.ts
    person = people.get(payload.user.id)
    if person is None:
        return PressRefused(
            200,
            f"Slack user {payload.user.id} has no name in alerts.slack.people; nothing is decided.",
            message,
        )
    shown = history.shown(message)
    if shown is None or shown[0] != action.value:
        return PressRefused(200, "This message asks for nothing that can be decided.", message)
    return Press(
        request_id=shown[0],
        digest=shown[1],
        answer="approve" if action.action_id == APPROVE else "reject",
        reason=_reason(payload),
        person=person,
        message=message,
    )


def _payload(body: bytes) -> _Payload | None:
    try:
        fields = parse_qs(body.decode(), strict_parsing=True, max_num_fields=5)
        (text,) = fields["payload"]
        return msgspec.json.decode(text, type=_Payload)
    except (ValueError, KeyError, RecursionError, msgspec.MsgspecError):
        return None


def _reason(payload: _Payload) -> str:
    values = payload.state.values if payload.state is not None else {}
    entry = values.get(REASON_BLOCK, {}).get(REASON)
    return (entry.value or "").strip() if entry is not None else ""
