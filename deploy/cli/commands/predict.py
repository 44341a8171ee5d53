"""`driftline predict`: ask the live model, through the splitter."""

from __future__ import annotations

import csv
import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from deploy.app.deployment import Deployment
from deploy.views.output import Json, Model, data, exits, show_json, table
from retrain.models.code import instance
from streaming.contracts.errors import (
    ConfigurationError,
    NotFoundError,
    PermanentError,
    UnavailableError,
)
from streaming.contracts.model import FeatureSpec, ModelContract


def add_to(root: typer.Typer) -> None:
    """Hang the command under `driftline`."""
    root.command()(predict)


def predict(
    context: typer.Context,
    model: Model,
    file: Annotated[Path | None, typer.Argument(help="CSV file with a header line.")] = None,
    rows: Annotated[
        str | None, typer.Option("--rows", help="JSON rows, or - for standard input.")
    ] = None,
    user: Annotated[str, typer.Option(help="x-user-id of the request.")] = "",
    json: Json = False,
) -> None:
    """Predict rows; a field that is left out counts as missing.

    Example: `driftline predict big_tipper --rows '[{"fare": 12.5, "trip_miles": 3.1}]'`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        contract = deployment.contract(model)
        found = _rows(file, rows)
        instances = [_instance(row, contract) for row in found]
        answered, arm = _ask(deployment, model, instances, user)
    if json:
        show_json({"predictions": answered, "arm": arm})
        return
    shown = table(f"{model}, answered by {arm or 'the server'}", ">row", ">probability")
    for number, value in enumerate(answered):
        shown.add_row(str(number), f"{value:.4f}")
    data.print(shown)


def _rows(file: Path | None, rows: str | None) -> list[dict[str, Any]]:
    if (file is None) == (rows is None):
        raise ConfigurationError("Give a CSV file or --rows, one of them.")
    if file is not None:
        if not file.exists():
            raise NotFoundError(f"{file} does not exist.")
        with file.open(newline="") as opened:
            return list(csv.DictReader(opened))
    text = sys.stdin.read() if rows == "-" else rows
    try:
        found = json_module.loads(text or "")
    except ValueError as error:
        raise ConfigurationError(f"--rows is not JSON: {error}.") from error
    return found if isinstance(found, list) else [found]


def _instance(row: dict[str, Any], contract: ModelContract) -> dict[str, list[Any]]:
    values = {spec.name: _value(row.get(spec.name), spec) for spec in contract.features}
    return instance(contract.features, values)


def _value(value: Any, spec: FeatureSpec) -> Any:
    if value is None or value == "":
        return None
    try:
        if spec.kind == "integer":
            return int(float(value))
        return float(value) if spec.kind == "number" else str(value)
    except ValueError as error:
        raise ConfigurationError(f"{spec.name}: {value!r} is no {spec.kind}.") from error


def _ask(
    deployment: Deployment, model: str, instances: list[dict[str, list[Any]]], user: str
) -> tuple[list[float], str]:
    url = f"{deployment.envoy_url}/v1/models/{model}:predict"
    try:
        answer = httpx.post(
            url,
            content=json_module.dumps({"instances": instances}),  # NaN is a missing number
            headers={"x-user-id": user} if user else {},
            timeout=10.0,
        )
    except httpx.TransportError as error:
        raise UnavailableError(
            f"Nothing answers at {deployment.envoy_url}; `driftline up`."
        ) from error
    if answer.status_code != httpx.codes.OK:
        raise PermanentError(f"The server said {answer.status_code}: {answer.text[:300]}")
    return [_probability(row) for row in answer.json()["predictions"]], answer.headers.get(
        "x-driftline-arm", ""
    )


def _probability(row: Any) -> float:
    value = row["probabilities"] if isinstance(row, dict) else row
    while isinstance(value, list):
        value = value[0]
    return float(value)
