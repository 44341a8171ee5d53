"""`driftline replay` against a real broker and a real HTTP server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.project.csv_guess import guess_csv
from deploy.project.writer import project_files, write_project
from streaming.contracts.log import RecordLog
from streaming.engines.kafka.log import KafkaLog
from tests.deploy.project.files import choice, decimal, written
from tests.waiting import wait_for

pytestmark = pytest.mark.engine
SCHEMA = (
    'default_environment: "SERVING"\nfeature { name: "churned" type: INT '
    'not_in_environment: "SERVING" }\n'
)
ROWS = 600


class Envoy(BaseHTTPRequestHandler):
    """Responds as Envoy and a model server do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send(b'{"model_version_status": [{"state": "AVAILABLE"}]}')

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert set(body["instances"][0]) == {"fee", "plan"}
        self._send(b'{"predictions": [[0.25]]}')

    def _send(self, text: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.send_header("x-model-version", "3")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words: object) -> None:
        return None


@pytest.fixture
def envoy() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Envoy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Project:
    """A project in a temporary folder, and the command on it."""

    def __init__(self, folder: Path, bootstrap: str, envoy: str, name: str) -> None:
        self.name, self.folder = name, folder
        columns = [
            ("fee", decimal(1, 9)),
            ("plan", choice("a", "b")),
            ("churned", choice("0", "1")),
        ]
        self.data = written(folder / "data.csv", columns, ROWS)
        write_project(folder, project_files(name, name, guess_csv(self.data).guess, SCHEMA, 1))
        self.environment = {
            **os.environ,
            "DRIFTLINE_HOME": str(folder / "home"),
            "DRIFTLINE_CONFIG": str(folder / "driftline.yaml"),
            "DRIFTLINE__KAFKA__BOOTSTRAP": bootstrap,
            "DRIFTLINE__ENDPOINTS__ENVOY": envoy,
            f"DRIFTLINE__MODELS__{name.upper()}__LABELS__MATURE_AFTER": "200ms",
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.cli.main", "replay", str(self.data), *words, "--json"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def replay(self, *words: str) -> dict[str, Any]:
        process = self.start(*words)
        output, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors
        return dict(json.loads(output))

    def messages(self, log: RecordLog, topic: str) -> list[dict[str, Any]]:
        spans = log.spans(f"{self.name}.{topic}")
        return [json.loads(m.value or b"") for span in spans for m in log.read(span)]


def test_every_row_becomes_an_event_a_label_and_requests(
    bootstrap: str, envoy: str, tmp_path: Path
) -> None:
    project = Project(tmp_path, bootstrap, envoy, "replayed")
    counts = project.replay("--speed", "300")
    assert (counts["events"], counts["labels"], counts["finished"]) == (ROWS, ROWS, True)
    log = KafkaLog(bootstrap)
    events, labels = project.messages(log, "events"), project.messages(log, "labels")
    assert len({event["event_id"] for event in events}) == ROWS
    assert {event["event_id"] for event in events} == {label["event_id"] for label in labels}
    assert {frozenset(label) for label in labels} == {
        frozenset(("event_id", "event_time", "churned"))
    }
    predictions = project.messages(log, "predictions")
    assert len(predictions) == counts["predictions"] > 10
    assert {(p["version"], p["prediction"]) for p in predictions} == {(3, 0.25)}

    again = project.replay("--speed", "max")
    assert again["finished"]
    assert len(project.messages(log, "events")) == ROWS  # nothing is sent twice
    shifted = project.replay("--speed", "max", "--shift", "plan=c")
    assert shifted["events"] == ROWS
    assert sum(event["plan"] == "c" for event in project.messages(log, "events")) == ROWS
    log.close()


def test_an_interrupted_replay_goes_on_where_it_stopped(
    bootstrap: str, envoy: str, tmp_path: Path
) -> None:
    project = Project(tmp_path, bootstrap, envoy, "resumed")
    log = KafkaLog(bootstrap)
    process = project.start("--speed", "100", "--requests", "0")
    wait_for(lambda: len(project.messages(log, "events")) > 150, seconds=60)
    process.send_signal(signal.SIGINT)
    stopped = json.loads(process.communicate(timeout=60)[0])
    assert 150 < stopped["events"] < ROWS
    assert not stopped["finished"]

    killed = project.start("--speed", "100", "--requests", "0")
    wait_for(lambda: len(project.messages(log, "events")) > stopped["events"] + 150, seconds=60)
    killed.kill()
    killed.communicate()
    counts = project.replay("--speed", "max", "--requests", "0")
    assert counts["finished"]
    events, labels = project.messages(log, "events"), project.messages(log, "labels")
    assert len({event["event_id"] for event in events}) == ROWS
    assert len(events) < ROWS + 250  # at most what was sent since the last position
    assert {event["event_id"] for event in events} == {label["event_id"] for label in labels}
    log.close()
