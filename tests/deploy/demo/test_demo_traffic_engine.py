"""The traffic process against a real broker and a real HTTP server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest

from deploy.demo.control import TrafficConfig, TrafficStatus
from deploy.demo.process import TrafficProcess
from retrain.models.big_tipper.contract import FEATURES
from streaming.contracts.errors import DecodeError
from streaming.contracts.events import decode_event
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import OffsetRange
from streaming.contracts.topics import applications_topic

pytestmark = pytest.mark.engine

CONTRACT = ModelContract(
    model="big_tipper",
    module="",
    events_topic="taxi.trips",
    labels_topic="taxi.tips",
    key="trip_id",
    time="event_time",
    features=FEATURES,
)


class EnvoyDouble(BaseHTTPRequestHandler):
    """Responds as Envoy does; every 50th request is refused."""

    protocol_version = "HTTP/1.1"
    received = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        assert b'"instances"' in body
        EnvoyDouble.received += 1
        good = EnvoyDouble.received % 50 != 0
        text = b'{"predictions": [[0.5]]}'
        self.send_response(200 if good else 503)
        self.send_header("content-length", str(len(text)))
        self.send_header(
            "x-driftline-arm", "canary" if EnvoyDouble.received % 10 == 0 else "stable"
        )
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words: object) -> None:
        return None


@pytest.fixture
def envoy() -> Iterator[str]:
    """Address of the server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), EnvoyDouble)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def wait(
    traffic: TrafficProcess, done: Callable[[TrafficStatus], bool], seconds: float = 40
) -> TrafficStatus:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        status = traffic.status()
        if status is not None and done(status):
            return status
        time.sleep(0.2)
    raise AssertionError(f"The condition did not become true: {traffic.status()}")


def _config(bootstrap: str, envoy: str, folder: Path) -> TrafficConfig:
    return TrafficConfig(
        bootstrap=bootstrap,
        events_topic="taxi.trips",
        labels_topic="taxi.tips",
        key="trip_id",
        time="event_time",
        model="big_tipper",
        envoy=envoy,
        folder=str(folder),
        run="test",
        history_rows=3000,
        history_seconds=10,
        label_delay_seconds=0.2,
    )


def _read_events(
    log: RecordLog, spans: Sequence[OffsetRange]
) -> tuple[int, list[str], list[float], int]:
    """Usable events, reasons of the others, event times, and events with the new column."""
    usable, tolls = 0, 0
    reasons: list[str] = []
    times: list[float] = []
    for span in spans:
        of_partition = []
        for message in log.read(span):
            fields = orjson.loads(message.value or b"")
            of_partition.append(fields["event_time"])
            tolls += "tolls" in fields
            try:
                decode_event(message.value, CONTRACT, now=time.time())
                usable += 1
            except DecodeError as error:
                reasons.append(error.reason)
        assert of_partition == sorted(of_partition)
        times += of_partition
    return usable, reasons, times, tolls


def test_counts_are_exact_and_each_phase_sends_its_own_events(
    bootstrap: str, envoy: str, tmp_path: Path
) -> None:
    """The traffic's counts equal those of the broker, and each phase sends its own events."""
    from streaming.engines.kafka.log import KafkaLog

    log = KafkaLog(bootstrap)
    log.ensure([applications_topic(name, partitions=2) for name in ("taxi.trips", "taxi.tips")])
    config = _config(bootstrap, envoy, tmp_path)
    traffic = TrafficProcess(tmp_path, tmp_path / "traffic.log")
    began = time.time()
    traffic.start(config)
    try:
        wait(traffic, lambda status: status.history_done and status.sent > 3200)
        traffic.predict()
        wait(traffic, lambda status: status.requests > 400)
        traffic.switch("shifted")
        wait(traffic, lambda status: "shifted" in status.phase_since)
        traffic.switch("broken")
        wait(traffic, lambda status: status.broken > 50)
        traffic.add_column()
        added = traffic.status()
        assert added is not None
        wait(traffic, lambda status: status.sent > added.sent + 400)
        traffic.switch("stop")
        last = wait(traffic, lambda status: status.finished)
    finally:
        traffic.close()

    spans = log.spans("taxi.trips")
    assert sum(span.stop for span in spans) == last.sent
    assert last.failed == 0
    assert sum(span.stop for span in log.spans("taxi.tips")) == last.labels
    assert last.labels == last.sent - last.broken
    assert last.errors == last.requests // 50
    assert "503" in last.first_error

    usable, reasons, times, tolls = _read_events(log, spans)
    assert usable == last.sent - last.broken
    assert 300 < tolls < 1_000
    assert set(reasons) == {"missing_field", "wrong_type"}
    assert len(reasons) == last.broken
    assert -12 < min(times) - began < 0

    seconds = traffic.seconds()
    assert sum(second.requests for second in seconds) == last.requests
    assert sum(second.errors for second in seconds) == last.errors
    assert {arm for second in seconds for arm in second.arms} <= {"stable", "canary", ""}
    log.close()


def test_a_dead_process_is_reported(bootstrap: str, tmp_path: Path) -> None:
    """The status of a traffic process that ended by itself is an error."""
    from streaming.contracts.errors import PermanentError

    traffic = TrafficProcess(tmp_path, tmp_path / "traffic.log")
    config = TrafficConfig(
        bootstrap=bootstrap, events_topic="a", labels_topic="b", key="k", time="t", model="m",
        envoy="http://127.0.0.1:1", folder=str(tmp_path), run="x", data="/does/not/exist.csv",
    )  # fmt: skip
    traffic.start(config)
    with pytest.raises(PermanentError, match="has died"):
        wait(traffic, lambda status: status.finished)
