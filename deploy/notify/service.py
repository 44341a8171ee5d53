"""Runs the notifier of a deployment: `driftline notifier`."""

from __future__ import annotations

import secrets
import threading
import time
from pathlib import Path

import structlog
import uvicorn
from slack_sdk import WebClient

from deploy.app.alert_routing import alert_token_file, read_secret
from deploy.app.deployment import Deployment
from deploy.app.scrape_targets import console_address
from deploy.config.alert_settings import AlertSettings, SlackSettings
from deploy.config.port_map import HOST
from deploy.notify.channels import Channel
from deploy.notify.delivery import Deliverer
from deploy.notify.history import History, history_file
from deploy.notify.local_receiver import PLACE, LocalReceiver
from deploy.notify.people import CurrentPeople
from deploy.notify.server import Notifier, create_app
from deploy.notify.slack import SlackChannel
from deploy.notify.subjects import Subjects
from deploy.notify.webhooks import CheckedBackend, WebhookChannel, networks
from deploy.services.shutdown import exit_on_sigterm
from streaming.contracts.errors import ConfigurationError

STEP_SECONDS = 0.5
SLACK_SECONDS = 10
log = structlog.get_logger()


def run(deployment: Deployment) -> None:
    """Serve until SIGTERM or SIGINT."""
    history = History(history_file(deployment.home))
    notifier, receiver = assemble(deployment, history)
    stopped = threading.Event()
    loop = threading.Thread(target=_deliver, args=(notifier.deliverer, stopped), daemon=True)
    loop.start()
    config = uvicorn.Config(
        create_app(notifier, receiver),
        host=HOST,
        port=deployment.ports.notifier,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    exit_on_sigterm()
    log.info("notifier.started", channels=[c.name for c in notifier.deliverer.channels])
    try:
        uvicorn.Server(config).run()
    finally:
        stopped.set()
        loop.join(timeout=15.0)
        history.close()


def _deliver(deliverer: Deliverer, stopped: threading.Event) -> None:
    while not stopped.is_set():
        tried = deliverer.step()
        deliverer.exporter.progress(time.time())
        if not tried:
            stopped.wait(STEP_SECONDS)


def assemble(deployment: Deployment, history: History) -> tuple[Notifier, LocalReceiver | None]:
    """The notifier of the settings; with a local receiver where there is no Slack.

    Raises
    ------
    ConfigurationError
        When a secret cannot be read, or a network is none.
    """
    alerts, folder = deployment.settings.alerts, deployment.file.parent
    subjects = Subjects(deployment, console_address(deployment.settings, deployment.ports))
    slack, receiver = _slack(deployment, history, subjects)
    secret = "" if alerts.slack is None else read_secret(folder, alerts.slack.signing_secret_file)
    channels: list[Channel] = [slack, *_webhooks(alerts, folder)]
    notifier = Notifier(
        deliverer=Deliverer(channels, history),
        slack=slack,
        token=read_secret(deployment.home, str(alert_token_file(deployment.home))),
        secret=secret,
        people=CurrentPeople(deployment.settings, deployment.file),
        decide=subjects.decide,
    )
    return notifier, receiver


def _slack(
    deployment: Deployment, history: History, subjects: Subjects
) -> tuple[SlackChannel, LocalReceiver | None]:
    settings: SlackSettings | None = deployment.settings.alerts.slack
    receiver = None
    if settings is None:
        address = f"http://{HOST}:{deployment.ports.notifier}/local"
        token, place, api = secrets.token_urlsafe(16), PLACE, f"{address}/api/"
        receiver = LocalReceiver(history, token=token, address=address)
    else:
        token = read_secret(deployment.file.parent, settings.token_file)
        place, api = settings.channel, settings.api
    return SlackChannel(
        name="local" if settings is None else "slack",
        client=WebClient(token=token, base_url=api, timeout=SLACK_SECONDS),
        place=place,
        history=history,
        picture=subjects.picture,
        request=subjects.request,
    ), receiver


def _webhooks(alerts: AlertSettings, folder: Path) -> list[WebhookChannel]:
    try:
        allowed = networks(alerts.webhook_networks)
    except ValueError as error:
        raise ConfigurationError(f"alerts.webhook_networks: {error}.") from error
    return [
        WebhookChannel(
            name=entry.name,
            url=entry.url,
            secret=read_secret(folder, entry.secret_file).encode(),
            severities=entry.severities,
            hosts=frozenset(alerts.webhook_hosts),
            backend=CheckedBackend(allowed),
        )
        for entry in alerts.webhooks
    ]
