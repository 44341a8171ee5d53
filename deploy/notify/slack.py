"""Delivers to Slack, or to the local receiver that speaks the same API.

The first message on a cause opens a thread; what follows, and its end, is told in the thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from deploy.notify.alerts import AlertGroup, title
from deploy.notify.blocks import Question, blocks_of, escaped
from deploy.notify.channels import NotDelivered, Refused
from deploy.notify.history import Delivery, History, Thread

_LASTING = frozenset(
    {
        "invalid_blocks", "invalid_blocks_format", "channel_not_found", "not_in_channel",
        "is_archived", "invalid_auth", "not_authed", "account_inactive", "token_revoked",
        "missing_scope", "no_permission", "msg_too_long", "invalid_arguments",
    }
)  # fmt: skip
"""Errors of Slack that the same message would get again."""


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """An open approval request for a message, with the digest of what it is bound to."""

    question: Question
    digest: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture for a message."""

    png: bytes
    alt: str
    """What is seen, in a sentence."""


@dataclass
class SlackChannel:
    """One Slack channel.

    Parameters
    ----------
    name:
        ``slack`` or ``local``.
    place:
        Id of the channel.
    picture:
        Draws what a model's alert is about; None where there is nothing to draw.
    request:
        The open approval request of a model; None without one.
    """

    name: str
    client: WebClient
    place: str
    history: History
    picture: Callable[[AlertGroup], Picture | None] = field(default=lambda group: None)
    request: Callable[[str], OpenRequest | None] = field(default=lambda model: None)

    def wants(self, group: AlertGroup) -> bool:
        """Everything."""
        return True

    def deliver(self, delivery: Delivery, group: AlertGroup) -> str:
        """Open a thread, or go on in the one of this cause."""
        thread = self.history.thread(group.key)
        if thread is None and group.status == "resolved":
            return "resolved before it was told"
        opened = self.request(group.model) if _asks(group) else None
        blocks = blocks_of(group, opened.question if opened else None)
        message = self._post(escaped(title(group)), blocks, thread)
        if opened is not None:
            self.history.asked(message, opened.question.request_id, opened.digest)
        if thread is None:
            thread = Thread(message, self.place)
            self.history.open_thread(group.key, thread)
            return f"opened thread {message}{self._add_picture(group, thread)}"
        if group.status == "resolved":
            self.history.close_thread(group.key)
            return f"closed thread {thread.message}"
        return f"in thread {thread.message}"

    def say(self, text: str, message: str) -> None:
        """Say something in a message's thread; raises `NotDelivered`, `Refused`."""
        self._call(
            lambda: self.client.chat_postMessage(
                channel=self.place, text=escaped(text), thread_ts=message, mrkdwn=False
            )
        )

    def _post(self, text: str, blocks: list[dict[str, Any]], thread: Thread | None) -> str:
        reply = self._call(
            lambda: self.client.chat_postMessage(
                channel=self.place,
                text=text,
                blocks=blocks,
                thread_ts=thread.message if thread else None,
                unfurl_links=False,
            )
        )
        return str(reply["ts"])

    def _add_picture(self, group: AlertGroup, thread: Thread) -> str:
        """A picture that is missing must not lose the message."""
        picture = self.picture(group)
        if picture is None:
            return ""
        try:
            self._call(
                lambda: self.client.files_upload_v2(
                    channel=self.place,
                    thread_ts=thread.message,
                    content=picture.png,
                    filename="drift.png",
                    title=group.model or "Driftline",
                    alt_txt=picture.alt,
                )
            )
        except (NotDelivered, Refused) as error:
            return f", without its picture ({error})"
        return ", with its picture"

    def _call(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except SlackApiError as error:
            code = str(error.response.get("error", ""))
            if code in _LASTING:
                raise Refused(f"Slack refuses it: {code}.") from error
            wait = error.response.headers.get("Retry-After", "")
            seconds = float(wait) if str(wait).isdigit() else None
            raise NotDelivered(f"Slack answered {code or error}.", seconds) from error
        except (SlackClientError, OSError, HTTPException) as error:
            raise NotDelivered(f"Slack cannot be reached: {error}.") from error


def _asks(group: AlertGroup) -> bool:
    return group.cause == "approval" and group.status == "firing" and bool(group.model)
