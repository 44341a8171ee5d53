"""Receivers of alerts: what cannot work is refused before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.app.deployment import Deployment
from streaming.contracts.errors import ConfigurationError
from tests.deploy.config.test_serving_checks import write

HOOK = {"name": "pager", "url": "https://pager.example/hook", "secret_file": "secret"}
SLACK = {"channel": "C012345", "token_file": "t", "signing_secret_file": "s"}
MAIL = {"to": "a@x.org", "sender": "d@x.org", "smarthost": "mail:25"}


def test_receivers_that_can_work_are_read(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "fares",
        alerts={
            "webhooks": [HOOK],
            "webhook_hosts": ["pager.example"],
            "webhook_networks": ["10.0.0.0/8"],
            "email": MAIL,
            "slack": SLACK,
        },
    )
    alerts = Deployment.load(file).settings.alerts
    assert alerts.webhooks[0].severities == ("page", "ticket")
    assert alerts.slack is not None
    assert alerts.slack.api == "https://slack.com/api/"


@pytest.mark.parametrize(
    ("alerts", "message"),
    [
        ({"webhooks": [HOOK]}, "not in alerts.webhook_hosts"),
        ({"webhooks": [HOOK, HOOK], "webhook_hosts": ["pager.example"]}, "name of another"),
        ({"webhooks": [{**HOOK, "name": "slack"}]}, "name of another"),
        ({"webhooks": [{**HOOK, "url": "https://a@pager.example/"}]}, "user name is refused"),
        ({"webhooks": [{**HOOK, "url": "file:///etc/passwd"}]}, "pattern"),
        ({"webhook_networks": ["10.0.0.1/8"]}, "10.0.0.0/8"),
        ({"email": {**MAIL, "user": "d"}}, "belong together"),
        ({"email": {**MAIL, "to": "a@x.org\nBcc: b@x.org"}}, "pattern"),
        ({"console": "javascript:alert(1)"}, "pattern"),
        ({"slack": {**SLACK, "channel": "#general"}}, "pattern"),
    ],
)  # fmt: skip
def test_receivers_that_cannot_work_are_refused(
    tmp_path: Path, alerts: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Deployment.load(write(tmp_path, "fares", alerts=alerts))
