"""Start a real model server, load a version into it, and see how fast and how right it answers.

The server runs first and the version comes second, as in production: measured is *version seen*
to AVAILABLE (load and warm-up), not how long a process takes to start or when it next looks.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from retrain.models.code import instance
from streaming.contracts.errors import GateFailedError, UnavailableError
from streaming.contracts.model import FeatureSpec

PROBE = "assets.extra/probe.json"
OUTPUT = "probabilities"
TOLERANCE = 1e-4
"""How far a served probability may lie from the trainer's own (float32, another graph)."""
WARM_REQUESTS = 50

_START_SECONDS = 60.0
_LOAD_SECONDS = 30.0
_ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCheck:
    """What a real server did with a version."""

    load_seconds: float
    """From the server seeing the version to AVAILABLE, warm-up included."""
    warm_predict_seconds: float
    """Median of single-row predictions, one after another."""
    worst_predict_seconds: float
    rows: int
    """Probe rows compared."""
    largest_difference: float


def check_serving(
    servable: Path, *, model: str, version: int, features: Sequence[FeatureSpec], log: Path
) -> ServingCheck:
    """Serve `servable` for a moment.

    Parameters
    ----------
    servable:
        A SavedModel folder with `PROBE` in it.
    features:
        The inputs of ``serving_default``.
    log:
        File that takes the server's own words.

    Raises
    ------
    GateFailedError
        When the version does not become available, or answers otherwise than its trainer.
    UnavailableError
        When the server itself does not start.
    """
    probe = json.loads((servable / PROBE).read_text())
    rows = [instance(tuple(features), values) for values in probe["instances"]]
    with (
        tempfile.TemporaryDirectory(prefix="driftline-check-") as base,
        _server(model, Path(base), log) as client,
    ):
        load = _load(client, model, version, servable, Path(base), log)
        difference = _largest_difference(client.predict(model, rows), probe[OUTPUT])
        times = sorted(_time_predictions(client, model, rows))
    if difference > TOLERANCE:
        raise GateFailedError(
            f"The server's answers differ from the trainer's by up to {difference:.3g}; at most"
            f" {TOLERANCE} is rounding. The export is at fault: look at its serving signature."
        )
    return ServingCheck(
        load_seconds=load,
        warm_predict_seconds=statistics.median(times),
        worst_predict_seconds=times[-1],
        rows=len(rows),
        largest_difference=difference,
    )


class _Client:
    """TF Serving's REST API on one kept connection."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=_LOAD_SECONDS)

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, Any]:
        """(status, JSON); status 0 while nobody listens."""
        try:
            self._connection.request("POST" if body else "GET", path, body)
            answer = self._connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        except (OSError, HTTPException, ValueError):
            self._connection.close()
            return 0, {}

    def states(self, model: str) -> list[dict[str, Any]]:
        """``model_version_status``, empty while there is none."""
        status, answer = self.ask(f"/v1/models/{model}")
        return list(answer.get("model_version_status", [])) if status == 200 else []

    def predict(self, model: str, rows: list[dict[str, Any]]) -> list[float]:
        """One probability for each row; `GateFailedError` when the server refuses."""
        status, answer = self.ask(
            f"/v1/models/{model}:predict", json.dumps({"instances": rows}).encode()
        )
        if status != 200:
            raise GateFailedError(
                f"The server refuses to predict ({status}: {answer.get('error', 'no answer')});"
                " the SavedModel runs in Python only, or its inputs are not the contract's."
            )
        return [_scalar(value) for value in answer["predictions"]]


@contextlib.contextmanager
def _server(model: str, base: Path, log: Path) -> Iterator[_Client]:
    grpc_port, rest_port = _free_ports(2)
    command = [sys.executable, "-m", "serving.engines.modelserver", "--role", "check"]
    command += ["--grpc-port", str(grpc_port), "--rest-port", str(rest_port)]
    command += ["--model-name", model, "--base-path", str(base)]
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as words:
        process = subprocess.Popen(
            command, stdout=words, stderr=words, env={**os.environ, "PYTHONPATH": path}
        )
        try:
            client = _Client(rest_port)
            _wait_started(process, client, model, log)
            yield client
        finally:
            _stop(process)


def _wait_started(process: subprocess.Popen[bytes], client: _Client, model: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while client.ask(f"/v1/models/{model}")[0] == 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise UnavailableError(
                f"The model server for the check did not start; it said: {_tail(log)}",
                delay_seconds=10.0,
            )
        time.sleep(0.05)


def _load(
    client: _Client, model: str, version: int, servable: Path, base: Path, log: Path
) -> float:
    staged = base / ".staged"
    staged.symlink_to(servable.resolve())
    staged.rename(base / str(version))
    placed = seen = time.monotonic()
    while (now := time.monotonic()) - placed < _LOAD_SECONDS:
        states = client.states(model)
        if any(one["state"] == "AVAILABLE" for one in states):
            return time.monotonic() - seen
        if any(one["state"] == "END" for one in states):
            break
        if not states:
            seen = now  # the server looks into its folder now and then; that wait is not its load
        time.sleep(0.01)
    raise GateFailedError(
        f"The version was not AVAILABLE after {now - placed:.1f} s; the server said: {_tail(log)}"
    )


def _time_predictions(client: _Client, model: str, rows: list[dict[str, Any]]) -> Iterator[float]:
    for number in range(WARM_REQUESTS):
        began = time.perf_counter()
        client.predict(model, [rows[number % len(rows)]])
        yield time.perf_counter() - began


def _largest_difference(answers: list[float], expected: list[float]) -> float:
    if len(answers) != len(expected):
        raise GateFailedError(f"The server answered {len(answers)} rows of {len(expected)}.")
    differences = [abs(one - other) for one, other in zip(answers, expected, strict=True)]
    return max(value if math.isfinite(value) else math.inf for value in differences)


def _scalar(value: Any) -> float:
    while isinstance(value, list | dict):
        value = value[0] if isinstance(value, list) else next(iter(value.values()))
    return float(value)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " | ".join(lines[-3:]) or "nothing"
