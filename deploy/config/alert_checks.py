"""Rules of `driftline.yaml` about the receivers of alerts."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from deploy.config.settings import Settings
from deploy.config.types import Problem

RESERVED_CHANNELS = frozenset({"slack", "local"})


def _webhooks(settings: Settings) -> Iterator[Problem]:
    alerts = settings.alerts
    names: set[str] = set()
    path = ("alerts", "webhooks")
    for webhook in alerts.webhooks:
        if webhook.name in names | RESERVED_CHANNELS:
            yield path, f"{webhook.name} is the name of another receiver."
        names.add(webhook.name)
        parts = urlsplit(webhook.url)
        if parts.username is not None:
            yield path, f"{webhook.name}: an address with a user name is refused."
        if parts.hostname not in alerts.webhook_hosts:
            host = parts.hostname
            yield path, f"{webhook.name}: {host} is not in alerts.webhook_hosts; add it there."


def _networks(settings: Settings) -> Iterator[Problem]:
    for text in settings.alerts.webhook_networks:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            yield ("alerts", "webhook_networks"), f"{error}; write 10.0.0.0/8, for example."


def _email(settings: Settings) -> Iterator[Problem]:
    email = settings.alerts.email
    if email is not None and bool(email.user) != bool(email.password_file):
        yield ("alerts", "email"), "`user` and `password_file` belong together."


ALERT_CHECKS: tuple[Callable[[Settings], Iterator[Problem]], ...] = (_webhooks, _networks, _email)
