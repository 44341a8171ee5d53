"""Where alerts go, below `alerts` in `driftline.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from deploy.config.types import Section

Severity = Literal["page", "ticket"]
_Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+(/\S*)?$")]


class SlackSettings(Section):
    """Messages in a Slack channel, with a picture, buttons and one thread for each cause."""

    channel: str = Field(pattern=r"^[A-Z0-9]{3,20}$")
    """Id of the channel, for example C0123456789."""
    token_file: str
    """File with the bot's token; it needs the scopes chat:write and files:write."""
    signing_secret_file: str
    """File with the app's signing secret. Slack sends pressed buttons to the notifier's address
    /slack/actions, signed with it; others are refused."""
    people: dict[str, str] = Field(default={})
    """Name of each person who may press a button, by Slack's user id. Others are refused. A change
    counts without a restart."""
    api: _Url = "https://slack.com/api/"
    """Address of Slack's API."""


class WebhookSettings(Section):
    """An address that gets every alert as JSON, signed."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    """Its name in the history and in metrics."""
    url: _Url
    """The address; its host must be in `alerts.webhook_hosts`."""
    secret_file: str
    """File with the secret of the signature: header X-Driftline-Signature, `v1=` and the HMAC with
    SHA-256 of `v1:TIMESTAMP:BODY`."""
    severities: tuple[Severity, ...] = ("page", "ticket")
    """The severities that it gets."""


class EmailSettings(Section):
    """Mails, which Alertmanager sends by itself."""

    to: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    """Address of the recipient."""
    sender: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    """Address of the sender."""
    smarthost: str = Field(pattern=r"^[^\s:]+:\d+$")
    """The mail server, host:port."""
    user: str = ""
    """User name at the mail server. Empty: no login."""
    password_file: str = ""
    """File with the password; `driftline up` copies it into Alertmanager's private file."""
    require_tls: bool = True
    """Whether mails are only sent over TLS."""
    severities: tuple[Severity, ...] = ("page",)
    """The severities that are mailed."""


class AlertSettings(Section):
    """Where alerts go. Without `slack` its messages go to a local receiver:
    `driftline alerts messages` shows them."""

    console: str = Field(default="", pattern=r"^(https?://[^\s/]+)?$")
    """Address under which people reach the console, for the links in alerts. Empty: its port on
    127.0.0.1."""
    slack: SlackSettings | None = None
    """A Slack channel. null: a local receiver takes the same messages."""
    webhooks: tuple[WebhookSettings, ...] = ()
    """Further receivers."""
    webhook_hosts: tuple[str, ...] = ()
    """Hosts that webhooks may address, by name."""
    webhook_networks: tuple[str, ...] = ()
    """Private networks that those hosts may lie in, for example 10.0.0.0/8. Without them only
    public addresses are connected to, whatever a name resolves to."""
    email: EmailSettings | None = None
    """Mails. null: none."""
