"""`driftline alerts`: what fires, what was sent, and a trial of every receiver."""

from __future__ import annotations

import json as json_text
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, command
from deploy.config.port_map import HOST
from deploy.config.units import format_time
from deploy.views.output import show_json, stderr, stdout, table
from streaming.contracts.errors import NotFoundError, UnavailableError

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from deploy.notify.history import History

app = typer.Typer(no_args_is_help=True, help="Alerts: what fires, and what was sent to whom.")
Last = Annotated[int, typer.Option(min=1, max=1000, help="Number of newest entries to list.")]


@app.command("list")
@command
def list_(deployment: Deployment, json: Json = False) -> None:
    """List the alerts that fire now, as Alertmanager has them.

    Example: `driftline alerts list`
    """
    import httpx

    url = f"http://{HOST}:{deployment.ports.alertmanager}"
    try:
        response = httpx.get(f"{url}/api/v2/alerts", timeout=5.0)
        firing = response.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise UnavailableError(
            f"Alertmanager at {url} does not answer: {error}. Run `driftline up`."
        ) from error
    if json:
        show_json(firing)
        return
    shown = table("alerts", "alert", "severity", "cause", "model", "state", "summary")
    for alert in firing:
        labels, state = alert["labels"], alert["status"]["state"]
        shown.add_row(
            labels.get("alertname", ""),
            labels.get("severity", ""),
            labels.get("cause", ""),
            labels.get("model", ""),
            "consequence of another" if alert["status"]["inhibitedBy"] else state,
            alert["annotations"].get("summary", ""),
        )
    stdout.print(shown)


@app.command()
@command
def history(deployment: Deployment, last: Last = 20, json: Json = False) -> None:
    """List the newest notifications: channel, cause, attempts and outcome.

    Example: `driftline alerts history --last 5`
    """
    entries = _history(deployment).newest(last)
    if json:
        show_json(
            [
                {
                    "id": entry.id, "at": entry.at, "channel": entry.channel, "cause": entry.cause,
                    "attempts": entry.attempts, "outcome": entry.outcome, "detail": entry.detail,
                }
                for entry in entries
            ]
        )  # fmt: skip
        return
    shown = table("notifications", "at", "channel", "cause", ">attempts", "outcome", "detail")
    for entry in entries:
        shown.add_row(
            format_time(entry.at),
            entry.channel,
            entry.cause,
            str(entry.attempts),
            entry.outcome,
            entry.detail,
        )
    stdout.print(shown)


@app.command()
@command
def messages(deployment: Deployment, last: Last = 10, json: Json = False) -> None:
    """Show what the local receiver took, where no Slack is configured.

    Example: `driftline alerts messages --last 3`
    """
    kept = [
        {"message": message, "thread": thread, "at": at, **json_text.loads(body)}
        for message, thread, at, body in _history(deployment).messages(last)
    ]
    if json:
        show_json(kept)
        return
    shown = table("messages", "at", "message", "in thread", "text")
    for entry in kept:
        shown.add_row(format_time(entry["at"]), entry["message"], entry["thread"], entry["text"])
    stdout.print(shown)


@app.command()
@command
def test(deployment: Deployment) -> None:
    """Send an alert through Alertmanager to every receiver; it is resolved after a minute.

    Example: `driftline alerts test`
    """
    from datetime import UTC, datetime, timedelta

    import httpx

    url = f"http://{HOST}:{deployment.ports.alertmanager}"
    alert = {
        "labels": {"alertname": "DriftlineTest", "severity": "page", "cause": "test"},
        "annotations": {
            "summary": "This is a test of `driftline alerts test`.",
            "value": "1",
            "limit": "0",
        },
        "endsAt": (datetime.now(UTC) + timedelta(minutes=1)).isoformat(),
    }
    try:
        httpx.post(f"{url}/api/v2/alerts", json=[alert], timeout=5.0).raise_for_status()
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"Alertmanager at {url} does not take it: {error}. Run `driftline up`."
        ) from error
    stderr.print("Sent. `driftline alerts history` shows within half a minute where it arrived.")


def _history(deployment: Deployment) -> History:
    from deploy.notify.history import History, history_file

    file = history_file(deployment.home)
    if not file.exists():
        raise NotFoundError(f"Nothing was sent yet: there is no {file}. Run `driftline up`.")
    return History(file)
