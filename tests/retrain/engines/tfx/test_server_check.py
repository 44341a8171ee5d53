"""The serving check against a fake server process; a real model server is in `test_trainer`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from retrain.engines.tfx import server_check
from retrain.engines.tfx.server_check import (
    PROBE,
    ServedTooSlowlyError,
    ServingCheck,
    check_serving,
)
from retrain.ports import ServerCommand
from streaming.contracts.errors import GateFailedError, UnavailableError
from streaming.contracts.model import FeatureSpec

FEATURES = (FeatureSpec(name="fare", kind="number"),)

FAKE_SERVER = '''
"""TF Serving's REST API for a model that predicts fare / 100, and 0 where it is missing."""
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

model, base_path, rest_port, state = sys.argv[1:]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        versions = [name for name in os.listdir(base_path) if name.isdecimal()]
        if self.path != f"/v1/models/{model}" or not versions:
            return self.reply(404, {"error": "unknown model"})
        status = [{"version": name, "state": state} for name in versions]
        self.reply(200, {"model_version_status": status})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fares = [row["fare"][0] for row in body["instances"]]
        if 999.0 in fares:
            time.sleep(60)
        if any(fare < 0 for fare in fares):
            return self.reply(400, {"error": "a fare is negative"})
        self.reply(200, {"predictions": [[0.0 if f != f else f / 100] for f in fares]})

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


HTTPServer(("127.0.0.1", int(rest_port)), Handler).serve_forever()
'''


def fake_server(state: str = "AVAILABLE") -> ServerCommand:
    return ServerCommand(
        arguments=(sys.executable, "-c", "import os; exec(os.environ['FAKE_SERVER'])",
                   "{model}", "{base_path}", "{rest_port}", state),
        environment={"FAKE_SERVER": FAKE_SERVER},
    )  # fmt: skip


def check(
    folder: Path,
    instances: list[dict[str, float]],
    probabilities: list[float],
    server: ServerCommand,
) -> ServingCheck:
    servable = folder / "servable"
    (servable / PROBE).parent.mkdir(parents=True)
    probe = {"instances": instances, "probabilities": probabilities}
    (servable / PROBE).write_text(json.dumps(probe))
    return check_serving(
        servable,
        model="taxi",
        version=3,
        features=FEATURES,
        server=server,
        log_file=folder / "server.log",
    )


def test_a_version_is_loaded_compared_and_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    measured = check(tmp_path, [{"fare": 12.5}, {}], [0.125, 0.0], fake_server())
    assert (measured.rows, measured.largest_difference) == (2, 0.0)
    assert measured.load_seconds >= 0.0
    assert 0.0 < measured.warm_predict_seconds <= measured.worst_predict_seconds


def test_other_predictions_than_the_trainers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GateFailedError, match=r"differ from the trainer's by up to 0\.01"):
        check(tmp_path, [{"fare": 12.5}], [0.135], fake_server())


def test_a_refused_prediction_names_the_servers_reason(tmp_path: Path) -> None:
    with pytest.raises(GateFailedError, match="400: a fare is negative") as refused:
        check(tmp_path, [{"fare": -1.0}], [0.5], fake_server())
    assert not isinstance(refused.value, ServedTooSlowlyError)


def test_a_version_that_fails_to_load_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GateFailedError, match="was not AVAILABLE"):
        check(tmp_path, [{"fare": 1.0}], [0.01], fake_server("END"))


def test_a_version_that_still_loads_is_slow_and_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_check, "_LOAD_SECONDS", 0.3)
    with pytest.raises(ServedTooSlowlyError, match="was not AVAILABLE"):
        check(tmp_path, [{"fare": 1.0}], [0.01], fake_server("LOADING"))


def test_an_answer_that_does_not_come_is_slow_and_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_check, "_ANSWER_SECONDS", 2.0)
    with pytest.raises(ServedTooSlowlyError, match="had not answered a prediction of 1 row"):
        check(tmp_path, [{"fare": 999.0}], [0.01], fake_server())


def test_a_server_that_does_not_start_is_unavailable_with_its_last_output(tmp_path: Path) -> None:
    broken = ServerCommand(arguments=(sys.executable, "-c", "raise SystemExit('no library')"))
    with pytest.raises(UnavailableError, match="no library"):
        check(tmp_path, [{"fare": 1.0}], [0.01], broken)
