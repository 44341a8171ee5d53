"""`driftline replay`: a file as live events and labels."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, UsageError, command
from deploy.cli.shared.completion import complete_model
from deploy.cli.shared.large_file import say_reading
from deploy.views.output import show_json, stderr

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from deploy.project.replay import ReplayCounts, ReplayRun

DEFAULT_SPEED = "200"


@command
def replay(
    deployment: Deployment,
    file: Annotated[Path, typer.Argument(help="CSV file with a header line.")],
    model: Annotated[
        str, typer.Option(help="Name of the model.", autocompletion=complete_model)
    ] = "",
    speed: Annotated[
        str, typer.Option(help="Rows per second, or max: as fast as Kafka takes them.")
    ] = DEFAULT_SPEED,
    duration: Annotated[
        str | None, typer.Option("--for", help="Repeat the file for this long, for example 10m.")
    ] = None,
    shift: Annotated[
        list[str] | None,
        typer.Option(help="COLUMN=*1.5, COLUMN=+10, COLUMN=VALUE or COLUMN=missing; repeatable."),
    ] = None,
    shift_after: Annotated[
        int, typer.Option(min=0, help="Rows that are sent before the shift begins.")
    ] = 0,
    requests: Annotated[
        float, typer.Option(min=0, help="Requests for predictions per second, once one is live.")
    ] = 100.0,
    again: Annotated[
        int, typer.Option(min=0, help="Another number plays the same file again with new keys.")
    ] = 0,
    json: Json = False,
) -> None:
    """Play a file as live events, labels and requests, so that you see the circle on your data.

    Event times are moved to now, and a label follows its event after labels.mature_after. Ctrl-C
    ends it; the same command goes on where it stopped. Once a version is live, every row is also
    sent to it through the traffic router, and what it answers is written to the predictions topic.
    When Kafka restarts, the replay waits for it and goes on. It ends with exit code 8 within
    seconds when the stack is taken down, and after a minute when Kafka does not come back.

    Example: `driftline replay customers.csv --model churn --for 10m --shift fee=*1.5`
    """
    name = model or _only_model(deployment)
    say_reading(file)
    run = _run_of(
        deployment,
        name,
        file,
        shifts=tuple(shift or ()),
        shift_after=shift_after,
        speed=_speed(speed),
        seconds=_seconds(duration),
        requests=requests,
        again=again,
    )
    if run.state.finished:
        stderr.print(
            f"This replay has been played: {run.state.events} events. --again 1 plays it anew.",
            soft_wrap=True,
        )
        counts = run.counts()
    else:
        _describe_start(run, name, file)
        counts = _play(run)
    if json:
        show_json({**_as_data(counts), "run": run.state.run, "finished": run.state.finished})


def _only_model(deployment: Deployment) -> str:
    models = tuple(deployment.settings.models)
    if len(models) != 1:
        raise UsageError(f"Name the model with --model: {', '.join(models)}.")
    return models[0]


def _speed(text: str) -> float:
    if text == "max":
        return math.inf
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < math.inf:
        raise UsageError(f"--speed {text} is neither a number of rows per second nor max.")
    return speed


def _seconds(duration: str | None) -> float:
    from deploy.config.units import parse_duration

    if duration is None:
        return 0.0
    try:
        return parse_duration(duration)
    except ValueError as error:
        raise UsageError(f"--for: {error}") from error


def _run_of(
    deployment: Deployment,
    model: str,
    file: Path,
    *,
    shifts: tuple[str, ...],
    shift_after: int,
    speed: float,
    seconds: float,
    requests: float,
    again: int,
) -> ReplayRun:
    from deploy.app.topics import ensure_topics
    from deploy.local.supervisor import is_wanted
    from deploy.project.broker_wait import BrokerWait
    from deploy.project.csv_file import open_csv
    from deploy.project.producer import make_producer
    from deploy.project.replay import ReplayPlan, ReplayRun
    from deploy.project.replay_rows import ReplayRows
    from deploy.project.replay_sender import ReplaySender
    from deploy.project.replay_state import read_state, replay_name
    from deploy.project.replay_writers import replay_writers
    from deploy.project.shift import parse_shifts
    from retrain.engines.kafka.examples import schema_label_columns

    contract = deployment.contract(model)
    section = deployment.settings_of(model)
    opened = open_csv(file)
    parsed = parse_shifts(shifts, contract.features)
    labels = schema_label_columns(contract)
    writers = replay_writers(contract, labels, partial(_register, deployment))
    name = replay_name(file, model, (*shifts, str(shift_after)), again)
    rows = ReplayRows(
        opened, contract, labels,
        run=name, shifts=parsed, shift_after=shift_after,
    )  # fmt: skip
    ensure_topics(deployment)
    embedded = is_wanted(deployment.home, "kafka")
    wait = BrokerWait(
        is_down=lambda: embedded and not is_wanted(deployment.home, "kafka"), say=_say
    )
    sender = ReplaySender(
        make_producer(deployment.bootstrap),
        contract,
        writers,
        section.labels.mature_after,
        deployment.task(model),
        section.predictions.topic if section.predictions is not None else "",
        wait=wait,
    )
    plan = ReplayPlan(
        rows_per_second=speed,
        total=rows.rows,
        seconds=seconds,
        requests_per_second=requests if deployment.serves(model) else 0.0,
        model_url=f"{deployment.envoy_url}/v1/models/{model}",
    )
    return ReplayRun(rows, sender, plan, read_state(deployment.home, name), deployment.home)


def _register(deployment: Deployment, subject: str, schema: str) -> int:
    from streaming.engines.registry import register_schema

    assert deployment.registry is not None  # the settings are refused without it
    return register_schema(deployment.registry, subject, schema)


def _say(text: str) -> None:
    stderr.print(text, soft_wrap=True)


def _describe_start(run: ReplayRun, model: str, file: Path) -> None:
    from deploy.project.replay_progress import start_line

    begun = run.state.events
    _say(start_line(model, file, rows=run.rows.rows, begun=begun))
    if run.rows.absent:
        _say(f"The file does not have {', '.join(run.rows.absent)}: missing in every event.")


def _play(run: ReplayRun) -> ReplayCounts:
    import asyncio
    import signal

    from deploy.project.replay_progress import Progress

    def stop(_signal: int, _frame: object) -> None:
        run.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Progress(run.plan) as progress:
            run.on_progress = progress.show
            counts = asyncio.run(run.run())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if run.stopping:
        stderr.print("Stopped. The same command goes on from here.")
    return counts


def _as_data(counts: ReplayCounts) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(counts)
