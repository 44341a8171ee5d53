"""Alertmanager's configuration: the shipped routes and inhibition, with the settings' receivers.

Slack and webhooks are served by the notifier (`driftline notifier`), mails by Alertmanager.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from deploy.config.alert_settings import AlertSettings, EmailSettings
from streaming.contracts.errors import ConfigurationError

SHIPPED = Path(__file__).resolve().parents[1] / "alertmanager" / "alertmanager.yml"


def alert_token_file(home: Path) -> Path:
    """The file with the token by which the notifier knows Alertmanager; made if it is missing."""
    file = home / "prometheus" / "alert-token"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".alert-token.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(32))
        temporary.rename(file)
    return file


def alertmanager_config(
    alerts: AlertSettings, *, notifier: str, token_file: Path, folder: Path
) -> str:
    """The text of ``alertmanager.yml``; JSON, which is YAML too.

    Parameters
    ----------
    notifier:
        Address to which alerts are sent.
    token_file:
        File with the token that is sent along.
    folder:
        Relative paths of the settings begin here.
    """
    config: dict[str, Any] = YAML(typ="safe", pure=True).load(SHIPPED.read_text())
    (receiver,) = config["receivers"]
    receiver["webhook_configs"] = [
        {
            "url": notifier,
            "send_resolved": True,
            "max_alerts": 50,
            "http_config": {
                "authorization": {"type": "Bearer", "credentials_file": str(token_file)},
                "follow_redirects": False,
            },
        }
    ]
    if alerts.email is not None:
        severities = "|".join(alerts.email.severities)
        config["receivers"].append({"name": "mail", "email_configs": [_mail(alerts.email, folder)]})
        config["route"]["routes"] = [
            {"receiver": "mail", "matchers": [f'severity=~"{severities}"'], "continue": True},
            {"receiver": receiver["name"]},
        ]
    return json.dumps(config, indent=1) + "\n"


def read_secret(folder: Path, name: str) -> str:
    """The content of a secret's file; raises `ConfigurationError`."""
    file = folder / name
    try:
        secret = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The secret {file} cannot be read: {error}.") from error
    if not secret:
        raise ConfigurationError(f"The secret {file} is empty.")
    return secret


def _mail(email: EmailSettings, folder: Path) -> dict[str, Any]:
    login: dict[str, Any] = {}
    if email.user:
        password = read_secret(folder, email.password_file)
        login = {"auth_username": email.user, "auth_password": password}
    return {
        "to": email.to,
        "from": email.sender,
        "smarthost": email.smarthost,
        "require_tls": email.require_tls,
        "send_resolved": True,
        "headers": {
            "Subject": "[{{ .Status }}] {{ .CommonLabels.cause }} {{ .CommonLabels.model }}"
        },
        "text": (
            "{{ range .Alerts }}{{ .Annotations.summary }}\n"
            "value {{ .Annotations.value }}, limit {{ .Annotations.limit }}"
            "{{ with .Annotations.feature }}, features {{ . }}{{ end }}"
            "{{ with .Annotations.version }}, version {{ . }}{{ end }}\n"
            "{{ .Annotations.link }}\n{{ .Annotations.runbook_url }}\n\n{{ end }}"
        ),
        "html": "",
        **login,
    }
