"""`driftline backtest`: what other rules would have said of a period."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.app.deployment import Deployment
from deploy.config import units
from deploy.views.output import Json, Model, data, drawable, exits, show_json, talk
from streaming.contracts.errors import ConfigurationError

NOW, CHANGED = "rules in force", "changed rules"
Moment = "ISO 8601 (UTC unless it says), seconds since 1970, or how long ago: 2h, 7d."


def add_to(root: typer.Typer) -> None:
    """Hang the command under `driftline`."""
    root.command()(backtest)


def backtest(
    context: typer.Context,
    model: Model,
    since: Annotated[str | None, typer.Option(help=f"From when: {Moment}")] = None,
    until: Annotated[str | None, typer.Option(help="Until when, likewise.")] = None,
    rules: Annotated[
        Path | None, typer.Option(help="YAML with the drift keys that change; others stay.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="One changed rule: drift.KEY=VALUE.")
    ] = None,
    shift: Annotated[
        list[str] | None,
        typer.Option(help="A change that is known to be true, START..END or START.. (repeatable)."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw both sets of verdicts over time: .png or .svg.")
    ] = None,
    json: Json = False,
) -> None:
    """Judge a period again under changed rules: alarms, false alarms and delay side by side.

    Alarms outside every --shift are false; without one the whole period is taken to be quiet.
    The logged windows and the references in force then are used; a window's length cannot change.

    Example: `driftline backtest big_tipper --since 7d --set drift.false_alarms="1 per 7d"`
    """
    with exits():
        drawable(plot)
        from deploy.backtest.overrides import changed_rules
        from deploy.backtest.replay import Period
        from deploy.backtest.replay import backtest as replay

        deployment = Deployment.load(context.obj)
        deployment.settings_of(model)
        houses = {NOW: deployment}
        if rules is not None or setting:
            houses[CHANGED] = changed_rules(deployment, model, rules, setting or [])
        now = time.time()
        period = Period(**_period(since, until, now))
        shifts = [_shift(text, now) for text in shift or []]
        with deployment.log() as log:
            found = replay(log, houses, model, period, shifts)
        if plot is not None:
            from deploy.views.backtest import draw

            draw(found, shifts, plot)
            talk.print(f"Drawn into {plot}.")
    from deploy.views import backtest as backtest_view

    if json:
        show_json(backtest_view.as_data(found))
        return
    for part in backtest_view.tables(found):
        data.print(part)


def _period(since: str | None, until: str | None, now: float) -> dict[str, float]:
    given = {"since": since, "until": until}
    found = {name: _moment(text, now) for name, text in given.items() if text is not None}
    if found.get("since", 0.0) >= found.get("until", now + 1e12):
        raise ConfigurationError("--since must lie before --until.")
    return found


def _shift(text: str, now: float) -> Any:
    from streaming.drift.backtest.replay import Shift

    start, dots, end = text.partition("..")
    if not dots or not start:
        raise ConfigurationError(
            f"--shift {text}: write START..END, or START.. for one that lasts."
        )
    if not end:
        return Shift(start=_moment(start, now))
    found = Shift(start=_moment(start, now), end=_moment(end, now))
    if found.start >= found.end:
        raise ConfigurationError(f"--shift {text}: its start must lie before its end.")
    return found


def _moment(text: str, now: float) -> float:
    try:
        return units.moment(text, now)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
