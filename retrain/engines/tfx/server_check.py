"""Starts a real model server, loads a version into it, and measures its speed and its answers.

The server starts first and the version is added second, as in production. The load time is
measured from *version seen* to AVAILABLE (load and warm-up); it contains neither the start of the
process nor the server's polling interval. A worker keeps the server for its next check
(`warm_server`).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from retrain.engines.tfx.warm_server import SERVERS, WarmServer
from retrain.ports import ServerCommand
from retrain.tasks import TaskStrategy, strategy_of
from streaming.contracts.errors import GateFailedError, UnavailableError
from streaming.contracts.model import FeatureSpec
from streaming.contracts.requests import instance
from streaming.contracts.task import BINARY, Task

PROBE = "assets.extra/probe.json"
"""File in a servable: sample rows, and the outputs that the trainer computed for them."""

TOLERANCE = 1e-5
"""Largest accepted difference between served outputs and the trainer's, as the strategy of the task
measures it. Both are float32 from different graphs, so they differ by rounding."""

WARM_REQUESTS = 100
"""Number of single-row predictions that are timed."""


class ServedTooSlowlyError(GateFailedError):
    """The server took the version and had not loaded it, or had not answered, in time."""


_START_SECONDS = 60.0
_LOAD_SECONDS = 120.0
"""A version that cannot be loaded ends earlier; a wide one takes its time on a busy machine."""
_ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCheck:
    """Measurements of one version in a real server."""

    load_seconds: float
    """Time from the server seeing the version to AVAILABLE, warm-up included."""
    warm_predict_seconds: float
    """Median duration of a single-row prediction, one request after another."""
    worst_predict_seconds: float
    """Longest duration among those predictions."""
    p99_predict_seconds: float = 0.0
    """99 % quantile of those durations (nearest rank)."""
    rows: int
    """Number of probe rows compared."""
    largest_difference: float
    """Largest difference between served outputs and the trainer's: of probabilities, or of numbers
    as a share of the largest one."""
    load_per_core: float = 0.0
    """Processes that wanted a core in the last minute, for each core of the machine."""


def check_serving(
    servable: Path,
    *,
    model: str,
    version: int,
    features: Sequence[FeatureSpec],
    server: ServerCommand,
    log_file: Path,
    task: Task = BINARY,
    keep: bool = False,
) -> ServingCheck:
    """Serve `servable` for a moment and measure it.

    Parameters
    ----------
    servable:
        A SavedModel folder with `PROBE` in it.
    model, version:
        Name and number under which it is served; a kept server may give it a higher number.
    features:
        The inputs of ``serving_default``.
    server:
        The command that starts the server.
    log_file:
        File for a copy of the server's output.
    task:
        Decides which output is compared, and how.
    keep:
        Whether the server is kept for the next check of this model in this process.

    Raises
    ------
    GateFailedError
        When the version does not become available, or its predictions differ from the trainer's.
        A `ServedTooSlowlyError` where it only took too long.
    UnavailableError
        When the server itself does not start, or ends during the check.
    """
    probe = json.loads((servable / PROBE).read_text())
    rows = [instance(tuple(features), values) for values in probe["instances"]]
    strategy = strategy_of(task)
    with _server(server, model, log_file, keep=keep) as running:
        number = running.next_version(version)
        url = f"http://127.0.0.1:{running.rest_port}"
        # trust_env=False: a proxy in the environment must not get requests to this machine.
        with httpx.Client(base_url=url, timeout=_ANSWER_SECONDS, trust_env=False) as http:
            client = _Client(http, model)
            _wait_until_listening(running, client)
            try:
                load_seconds = _load(client, servable, version=number, server=running)
                served = client.predict(rows, strategy.output)
                difference = _largest_difference(strategy, served, probe[strategy.output])
                durations = sorted(_time_predictions(client, rows, strategy.output))
            finally:
                running.remove(number)
    if difference > TOLERANCE:
        raise GateFailedError(
            f"The server's predictions differ from the trainer's by up to {difference:.3g}; up to"
            f" {TOLERANCE} is rounding. The export is at fault: check its serving signature."
        )
    return ServingCheck(
        load_seconds=load_seconds,
        warm_predict_seconds=statistics.median(durations),
        worst_predict_seconds=durations[-1],
        p99_predict_seconds=durations[math.ceil(0.99 * len(durations)) - 1],
        rows=len(rows),
        largest_difference=difference,
        load_per_core=os.getloadavg()[0] / (os.cpu_count() or 1),
    )


class _Client:
    """TF Serving's REST API for one model, over one kept connection."""

    def __init__(self, http: httpx.Client, model: str) -> None:
        self._http = http
        self._model = model

    def is_listening(self) -> bool:
        """Whether the server answers at all."""
        return self._request("GET", f"/v1/models/{self._model}") is not None

    def states(self, version: int) -> list[str]:
        """The states of a version of the model; empty while the server does not know it."""
        response = self._request("GET", f"/v1/models/{self._model}")
        if response is None or response.status_code != httpx.codes.OK:
            return []
        statuses = json.loads(response.content).get("model_version_status", [])
        return [each["state"] for each in statuses if int(each["version"]) == version]

    def predict(self, rows: list[dict[str, Any]], output: str) -> list[list[float]]:
        """The numbers of `output` for each row; `GateFailedError` when the server refuses."""
        # httpx's own JSON refuses NaN, which stands for missing numbers.
        body = json.dumps({"instances": rows}).encode()
        path = f"/v1/models/{self._model}:predict"
        try:
            response = self._http.request("POST", path, content=body)
        except httpx.TimeoutException as error:
            raise ServedTooSlowlyError(
                f"The server had not answered a prediction of {len(rows)} row(s) after"
                f" {_ANSWER_SECONDS:.0f} s."
            ) from error
        except httpx.TransportError:
            response = None
        if response is None or response.status_code != httpx.codes.OK:
            detail = "no response" if response is None else _error_of(response)
            raise GateFailedError(
                f"The server refuses to predict ({detail}); the SavedModel runs in Python only, or"
                " its inputs are not the contract's."
            )
        return [_numbers(row, output) for row in json.loads(response.content)["predictions"]]

    def _request(self, method: str, path: str) -> httpx.Response | None:
        try:
            return self._http.request(method, path)
        except httpx.TransportError:
            return None


def _error_of(response: httpx.Response) -> str:
    try:
        text = str(json.loads(response.content).get("error", "no reason given"))
    except (ValueError, AttributeError):
        text = response.text[:200]
    return f"{response.status_code}: {text}"


@contextlib.contextmanager
def _server(
    server: ServerCommand, model: str, log_file: Path, *, keep: bool
) -> Iterator[WarmServer]:
    """A kept server, or one that ends with the check; one that fails is not kept."""
    running = SERVERS.get(server, model) if keep else WarmServer(server, model)
    kept = False
    try:
        yield running
        kept = keep
    except GateFailedError as error:
        if running.alive:
            raise
        raise UnavailableError(
            f"The model server for the check has ended. Its last output: {running.log_tail()}",
            delay_seconds=1.0,
        ) from error
    finally:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(running.log_file, log_file)
        if not kept:
            SERVERS.discard(running)


def _wait_until_listening(server: WarmServer, client: _Client) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not client.is_listening():
        if not server.alive or time.monotonic() > deadline:
            raise UnavailableError(
                f"The model server for the check did not start. Its last output:"
                f" {server.log_tail()}",
                delay_seconds=10.0,
            )
        time.sleep(0.05)


def _load(client: _Client, servable: Path, *, version: int, server: WarmServer) -> float:
    server.add(servable, version)
    added = seen = time.monotonic()
    states: list[str] = []
    while (now := time.monotonic()) - added < _LOAD_SECONDS:
        states = client.states(version)
        if "AVAILABLE" in states:
            return time.monotonic() - seen
        if "END" in states or not server.alive:
            break
        if not states:
            seen = now  # the server polls its folder; the wait until then is not load time
        time.sleep(0.01)
    message = (
        f"The version was not AVAILABLE after {now - added:.1f} s. The server's last output: "
        f"{server.log_tail()}"
    )
    loading = server.alive and states and "END" not in states
    raise ServedTooSlowlyError(message) if loading else GateFailedError(message)


def _time_predictions(client: _Client, rows: list[dict[str, Any]], output: str) -> Iterator[float]:
    for number in range(WARM_REQUESTS):
        began = time.perf_counter()
        client.predict([rows[number % len(rows)]], output)
        yield time.perf_counter() - began


def _largest_difference(
    strategy: TaskStrategy, served: list[list[float]], expected: list[Any]
) -> float:
    if len(served) != len(expected):
        raise GateFailedError(
            f"The server returned {len(served)} predictions for {len(expected)} rows."
        )
    numbers, truth = np.asarray(served, np.float64), np.asarray(expected, np.float64)
    truth = truth.reshape(len(truth), -1)
    if numbers.shape != truth.shape:
        raise GateFailedError(
            f"The server returned {numbers.shape[1]} numbers for a row; the trainer's have"
            f" {truth.shape[1]}."
        )
    difference = strategy.difference(numbers, truth)
    return difference if math.isfinite(difference) else math.inf


def _numbers(row: Any, output: str) -> list[float]:
    """A row of TF Serving's row format: its only output, or an object with all outputs."""
    value = row[output] if isinstance(row, dict) else row
    values = value if isinstance(value, list) else [value]
    return [float(number) for number in values]
