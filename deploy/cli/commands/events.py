"""`driftline events`: how the newest events of a model are understood."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, Model, command
from deploy.config.units import format_time
from deploy.views.escapes import one_line
from deploy.views.output import show_json, stderr, stdout, table
from streaming.contracts.errors import GateFailedError

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from deploy.records.event_report import EventCheck

app = typer.Typer(no_args_is_help=True, help="Events as they come: how they are understood.")


@app.callback()
def _group() -> None:
    """Events as they come: how they are understood."""


@app.command("check")
@command
def check(
    deployment: Deployment,
    model: Model,
    last: Annotated[int, typer.Option(min=1, help="Number of newest events to look at.")] = 100,
    json: Json = False,
) -> None:
    """Show field by field how the newest events are read, and what would become of them.

    Ends with 4 when there are events and none of them would be accepted.

    Example: `driftline events check big_tipper --last 100`
    """
    from deploy.records.event_check import check_events, newest_events

    contract = deployment.contract(model)
    with deployment.log() as log:
        messages = newest_events(log, contract.events_topic, last)
    report = check_events(messages, contract, now=time.time(), schemas=deployment.schemas())
    if json:
        show_json(report)
    else:
        _show(report)
    if report.read and not report.accepted:
        raise GateFailedError(f"None of the newest {report.read} events would be accepted.")


def _show(report: EventCheck) -> None:
    stdout.print(
        one_line(
            f"{report.topic}: the newest {report.read} events: {report.accepted} accepted, "
            f"{sum(refusal.count for refusal in report.refused)} dead letters, {report.late} late, "
            f"{report.waiting} waiting for a schema"
        )
    )
    fields = table("fields", "path", ">present", "kinds", "examples", "read as")
    for field in report.fields:
        fields.add_row(
            field.path,
            f"{field.present:.0%}",
            ", ".join(f"{kind} {count}" for kind, count in field.kinds.items()),
            ", ".join(field.examples),
            ", ".join(field.read_as) or "–",
        )
    stdout.print(fields)
    if report.refused:
        refused = table("dead letters", "reason", "field", ">events", "first", "detail")
        for refusal in report.refused:
            refused.add_row(
                refusal.reason,
                refusal.field or "–",
                str(refusal.count),
                refusal.position,
                refusal.detail,
            )
        stdout.print(refused)
    if report.example is not None:
        row = dict(report.example)
        shown = ", ".join(
            f"{name} {value}" for name, value in row.items() if name not in ("key", "time")
        )
        stdout.print(
            one_line(f"The newest one: key {row['key']}, {format_time(row['time'])}, {shown}")
        )
    for step in report.next_steps:
        stderr.print(one_line(f"Next: {step}"), soft_wrap=True)
