"""`driftline predict`: predictions of the live version, through Envoy."""

from __future__ import annotations

import csv
import json as json_module
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.app.suggestion import did_you_mean
from deploy.cli.commands.predict_bulk import (
    ROWS,
    Bulk,
    BulkOptions,
    Fresh,
    FromTopic,
    PartRows,
    Since,
    To,
    Topic,
    Until,
    Version,
    predict_bulk,
)
from deploy.cli.shared.command import Json, Model, UsageError, command
from deploy.views.output import show_json, stderr, stdout, table
from streaming.contracts.errors import (
    DecodeError,
    NotFoundError,
    PermanentError,
    UnavailableError,
)
from streaming.contracts.listed import EXPECTED, joined
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.requests import OUTPUTS, answered
from streaming.contracts.task import Task
from streaming.contracts.values import shortened

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

_NO_VERSION = "servable not found"
"""What TF Serving answers while it has loaded no version of a model."""


@command
def predict(
    deployment: Deployment,
    model: Model,
    file: Annotated[Path | None, typer.Argument(help="CSV file with a header line.")] = None,
    rows: Annotated[
        str | None, typer.Option("--rows", help="JSON rows, or - for standard input.")
    ] = None,
    last: Annotated[
        int, typer.Option(min=0, help="Number of newest events of the model's topic to predict.")
    ] = 0,
    user: Annotated[str, typer.Option(help="x-user-id of the request.")] = "",
    bulk: Bulk = None,
    from_topic: FromTopic = False,
    topic: Topic = "",
    since: Since = None,
    until: Until = None,
    to: To = None,
    version: Version = 0,
    fresh: Fresh = False,
    part: PartRows = ROWS,
    json: Json = False,
) -> None:
    """Predict rows, or the newest events as they come; a field that is left out counts as missing.

    With --bulk or --from-topic a published version predicts many rows, without a server; columns
    that are no features stay beside the predictions. The same command goes on where it was
    interrupted. Rows that cannot be read have no prediction and the reason in the column problem.

    Exit codes of --bulk and --from-topic: 0 done, though some rows may have no prediction; 1 no row
    could be predicted, or the version cannot be loaded; 2 wrong usage; 3 no such file, topic or
    version; 5 the target exists, or parts of another run do; 8 Kafka does not answer.

    Example: `driftline predict big_tipper --rows '[{"fare": 12.5, "trip_miles": 3.1}]'`

    Example: `driftline predict big_tipper --bulk trips.csv --to predicted.parquet --version 3`

    Example: `driftline predict big_tipper --from-topic --since 2h --to predicted.csv`
    """
    options = BulkOptions(
        file=bulk, topic=topic if from_topic else None, to=to, version=version, since=since,
        until=until, fresh=fresh, rows_per_part=part,
    )  # fmt: skip
    if options.wanted(other=bool(file or rows or last or user)):
        names = columns_of(deployment.task(model))
        predict_bulk(deployment, model, options, columns=names, json=json)
        return
    contract = deployment.contract(model)
    if not deployment.serves(model):
        raise NotFoundError(
            f"{model} is monitored here and served elsewhere; this deployment serves "
            f"{', '.join(deployment.served_models)} (local.served_models)."
        )
    if last and (file or rows):
        raise UsageError("Give a CSV file, --rows or --last.")
    if last:
        instances = _newest_instances(deployment, contract, last)
    else:
        instances = [
            to_instance(row, contract, number)
            for number, row in enumerate(_read_rows(file, rows), 1)
        ]
    predictions, arm = _request(deployment, model, instances, user)
    if json:
        show_json({"predictions": predictions, "arm": arm})
        return
    columns = [f">{name}" for name in columns_of(deployment.task(model))]
    shown = table(f"{model}, answered by {arm or 'the server'}", ">row", *columns)
    for number, value in enumerate(predictions, 1):
        values = value if isinstance(value, list) else [value]
        shown.add_row(str(number), *(f"{entry:.4f}" for entry in values))
    stdout.print(shown)


def _newest_instances(
    deployment: Deployment, contract: ModelContract, last: int
) -> list[dict[str, list[Any]]]:
    """The newest usable events as rows, read by the model's mapping; raises `NotFoundError`."""
    from deploy.records.event_check import newest_events
    from streaming.contracts.events import decode_event
    from streaming.contracts.requests import instance

    schemas, now = deployment.schemas(), time.time()
    with deployment.log() as log:
        messages = newest_events(log, contract.events_topic, last)
    instances = []
    for message in messages:
        try:
            event = decode_event(message, contract, now=now, schemas=schemas)
        except DecodeError:
            continue
        instances.append(instance(contract.features, event.values))
    if len(instances) < len(messages):
        stderr.print(
            f"{len(messages) - len(instances)} of {len(messages)} events cannot be used; "
            f"`driftline events check {contract.model}` says why."
        )
    if not instances:
        raise NotFoundError(f"{contract.events_topic} has no usable event to predict.")
    return instances


def columns_of(task: Task) -> list[str]:
    """Names of the values of a prediction, for a table.

    >>> columns_of(Task(kind="regression")), columns_of(Task(kind="binary"))
    (['prediction'], ['probability'])
    """
    if task.classes:
        return list(task.classes)
    if task.quantiles:
        return [f"{quantile:.3g} quantile" for quantile in task.quantiles]
    return [OUTPUTS[task.kind].replace("probabilities", "probability").rstrip("s")]


def _read_rows(file: Path | None, rows: str | None) -> list[Any]:
    if (file is None) == (rows is None):
        raise UsageError("Give either a CSV file or --rows.")
    if file is not None:
        if not file.exists():
            raise NotFoundError(f"{file} does not exist.")
        with file.open(newline="") as lines:
            return list(csv.DictReader(lines))
    text = sys.stdin.read() if rows == "-" else rows
    try:
        content = json_module.loads(text or "")
    except ValueError as error:
        raise UsageError(f"--rows is not JSON: {error}.") from error
    return content if isinstance(content, list) else [content]


def to_instance(row: Any, contract: ModelContract, number: int) -> dict[str, list[Any]]:
    """A row as TF Serving takes it.

    Raises
    ------
    UsageError
        When a field is unknown to the model or its value has the wrong type.
    """
    from streaming.contracts.requests import instance

    if not isinstance(row, dict):
        raise UsageError(f"Row {number} is not an object with fields: {row!r}.")
    known = [spec.name for spec in contract.features]
    for name in row:
        if name not in known:
            hint = did_you_mean(str(name), known) or f" It has {', '.join(known)}."
            raise UsageError(f"Row {number}: {contract.model} has no field {name}.{hint}")
    values = {
        spec.name: _value(row[spec.name], spec, number)
        for spec in contract.features
        if spec.name in row
    }
    return instance(contract.features, values)


def _value(value: Any, spec: FeatureSpec, number: int) -> Any:
    if value is None or value == "":
        return None
    article = "an" if spec.kind == "integer" else "a"
    wrong_type = UsageError(f"Row {number}: {spec.name}: {value!r} is not {article} {spec.kind}.")
    if spec.kind == "text":
        if isinstance(value, str):
            return value
        if spec.multivalent and isinstance(value, list):
            try:
                return joined(value)
            except ValueError as error:
                raise UsageError(
                    f"Row {number}: {spec.name} needs {EXPECTED}, not {shortened(value)}."
                ) from error
        raise wrong_type
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong_type
    try:
        parsed = float(value)
        if math.isnan(parsed):
            return None
        if spec.kind == "integer":
            if parsed != int(parsed):
                raise wrong_type
            return int(value) if isinstance(value, int) else int(parsed)
    except (ValueError, OverflowError) as error:
        raise wrong_type from error
    if math.isinf(parsed):
        raise wrong_type
    return parsed


def _request(
    deployment: Deployment, model: str, instances: list[dict[str, list[Any]]], user: str
) -> tuple[list[Any], str]:
    import httpx

    url = f"{deployment.envoy_url}/v1/models/{model}:predict"
    try:
        response = httpx.post(
            url,
            content=json_module.dumps({"instances": instances}),  # NaN is a missing number
            headers={"x-user-id": user} if user else {},
            timeout=10.0,
        )
    except httpx.TransportError as error:
        raise UnavailableError(
            f"No answer from {deployment.envoy_url}: {error}. `driftline up` starts the embedded "
            "stack."
        ) from error
    if response.status_code == httpx.codes.NOT_FOUND and _NO_VERSION in response.text.lower():
        raise NotFoundError(
            f"No version of {model} is live yet; `driftline rollout status {model}`."
        )
    if response.status_code != httpx.codes.OK:
        raise PermanentError(
            f"The model server answered {response.status_code}: {response.text[:300]}"
        )
    task = deployment.task(model)
    predictions = [answered(row, task) for row in response.json()["predictions"]]
    return predictions, response.headers.get("x-driftline-arm", "")
