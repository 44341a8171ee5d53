"""`driftline backtest`: the verdicts that changed rules would have given for a past period."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, Model, command
from deploy.config import units
from deploy.views.output import check_chart_file, show_json, stderr, stdout
from streaming.contracts.errors import ConfigurationError

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from streaming.drift.backtest.replay import KnownShift

IN_FORCE, CHANGED = "rules in force", "changed rules"
_TIME_HELP = "ISO 8601 (UTC unless it has a zone), seconds since 1970, or an age: 2h, 7d."


@command
def backtest(
    deployment: Deployment,
    model: Model,
    since: Annotated[str | None, typer.Option(help=f"Start: {_TIME_HELP}")] = None,
    until: Annotated[str | None, typer.Option(help="End, written like the start.")] = None,
    rules: Annotated[
        Path | None, typer.Option(help="YAML with the drift keys that change; others stay.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="One changed rule: drift.KEY=VALUE.")
    ] = None,
    shift: Annotated[
        list[str] | None,
        typer.Option(help="Period of a known change, START..END or START.. (repeatable)."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw both sets of verdicts over time: .png or .svg.")
    ] = None,
    json: Json = False,
) -> None:
    """Judge a period again under changed rules: alarms, false alarms and delay side by side.

    Alarms outside every `--shift` are false; without one the whole period counts as quiet. The
    logged windows are judged against the references that were in force at their time. The length of
    a window cannot be changed.

    Example: `driftline backtest big_tipper --since 7d --set drift.false_alarms="1 per 7d"`
    """
    check_chart_file(plot)
    from deploy.backtest.overrides import changed_rules
    from deploy.backtest.replay import Period
    from deploy.backtest.replay import backtest as replay
    from deploy.views import backtest as view

    deployment.settings_of(model)
    deployments = {IN_FORCE: deployment}
    if rules is not None or setting:
        deployments[CHANGED] = changed_rules(deployment, model, rules, setting or [])
    now = time.time()
    period = Period(**_period(since, until, now))
    shifts = [_shift(text, now) for text in shift or []]
    with deployment.log() as log:
        result = replay(log, deployments, model, period, shifts)
    if plot is not None:
        from deploy.views.backtest_chart import draw

        draw(result, shifts, plot)
        stderr.print(f"Drawn into {plot}.")
    if json:
        show_json(view.as_data(result))
        return
    for part in view.tables(result):
        stdout.print(part)


def _period(since: str | None, until: str | None, now: float) -> dict[str, float]:
    given = {"since": since, "until": until}
    period = {name: _time(text, now) for name, text in given.items() if text is not None}
    if period.get("since", 0.0) >= period.get("until", now + 1e12):
        raise ConfigurationError("--since must lie before --until.")
    return period


def _shift(text: str, now: float) -> KnownShift:
    from streaming.drift.backtest.replay import KnownShift

    start, dots, end = text.partition("..")
    if not dots or not start:
        raise ConfigurationError(
            f"--shift {text}: write START..END, or START.. for a shift without an end."
        )
    if not end:
        return KnownShift(start=_time(start, now))
    shift = KnownShift(start=_time(start, now), end=_time(end, now))
    if shift.start >= shift.end:
        raise ConfigurationError(f"--shift {text}: its start must lie before its end.")
    return shift


def _time(text: str, now: float) -> float:
    try:
        return units.parse_time(text, now)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
