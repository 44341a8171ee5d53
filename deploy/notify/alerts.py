"""Alerts as Alertmanager sends them, and the message that they become. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from streaming.contracts.errors import PermanentError

MAX_SHOWN = 10
"""Alerts of one group that a message shows; the rest is counted."""


class Alert(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One alert."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: str = ""
    """RFC 3339."""
    fingerprint: str = ""


class AlertGroup(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The alerts of one cause and model."""

    status: Literal["firing", "resolved"]
    alerts: tuple[Alert, ...]
    group_key: str = ""
    group_labels: dict[str, str] = {}
    truncated_alerts: int = 0

    @property
    def cause(self) -> str:
        """What the alerts have in common; a thread tells one cause."""
        return self.group_labels.get("cause", "unknown")

    @property
    def model(self) -> str:
        """Name of the model; empty for alerts on the whole deployment."""
        return self.group_labels.get("model", "")

    @property
    def key(self) -> str:
        """Identifies the thread: cause and model."""
        return f"{self.cause}/{self.model}"

    @property
    def severity(self) -> str:
        """``page`` if any alert that is not resolved pages; else ``ticket``."""
        relevant = [alert for alert in self.alerts if alert.status == self.status]
        pages = any(alert.labels.get("severity") == "page" for alert in relevant)
        return "page" if pages else "ticket"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertText:
    """What a message says of one alert."""

    name: str
    status: Literal["firing", "resolved"]
    severity: str
    summary: str
    facts: tuple[tuple[str, str], ...]
    """Name and text of value, limit, feature and version, where there is one."""
    link: str
    runbook: str


_FACTS = ("value", "limit", "feature", "version")


def decode_group(body: bytes) -> AlertGroup:
    """What Alertmanager posts.

    Raises
    ------
    PermanentError
        When it is nothing of that kind.
    """
    try:
        return msgspec.json.decode(body, type=AlertGroup)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PermanentError(f"That is no notification of Alertmanager: {error}.") from error


def texts(group: AlertGroup) -> tuple[AlertText, ...]:
    """The alerts of a message, those that fire and page first."""
    ranked = sorted(
        group.alerts,
        key=lambda alert: (alert.status != "firing", alert.labels.get("severity") != "page"),
    )
    return tuple(_text(alert) for alert in ranked[:MAX_SHOWN])


def left_out(group: AlertGroup) -> int:
    """How many alerts the message does not show."""
    return max(0, len(group.alerts) - MAX_SHOWN) + group.truncated_alerts


def title(group: AlertGroup) -> str:
    """One line for a list of messages.

    >>> title(AlertGroup(status="firing", alerts=(), group_labels={"cause": "drift", "model": "m"}))
    'drift: m (ticket)'
    """
    subject = group.model or "deployment"
    state = "resolved" if group.status == "resolved" else group.severity
    return f"{group.cause}: {subject} ({state})"


def _text(alert: Alert) -> AlertText:
    notes = alert.annotations
    return AlertText(
        name=alert.labels.get("alertname", "alert"),
        status=alert.status,
        severity=alert.labels.get("severity", ""),
        summary=notes.get("summary", ""),
        facts=tuple((name, notes[name]) for name in _FACTS if notes.get(name)),
        link=notes.get("link", ""),
        runbook=notes.get("runbook_url", ""),
    )
