"""The traffic process: ``python -m deploy.demo.traffic --config FILE``.

Open loop: events, labels and prediction requests are sent on time, whatever the stack does. The
process reads the control file, writes its status twice a second and one line for each second of
client traffic, and ends in phase ``stop`` or after `TrafficConfig.max_seconds`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from pathlib import Path

import msgspec

from deploy.demo import control
from deploy.demo.clients import TIMEOUT_SECONDS, Clients, PredictRequest
from deploy.demo.control import Control, TrafficConfig, TrafficPhase, TrafficStatus
from deploy.demo.event_writer import EventWriter, schema_text
from deploy.demo.registry import register
from deploy.demo.replay import read_trips
from deploy.demo.sender import Sender, Source

LOOP_SECONDS = 0.05
STATUS_SECONDS = 0.5
FLUSH_SECONDS = 30.0


class Traffic:
    """Sends everything from one event loop."""

    def __init__(self, config: TrafficConfig, sender: Sender) -> None:
        self.config = config
        self.folder = Path(config.folder)
        self.sender = sender
        self.clients = Clients(
            f"{config.envoy}/v1/models/{config.model}:predict",
            rate=max(config.predictions_per_second, 0.001),
            next_request=self._next_request,
            users=config.users,
            on_response=sender.send_prediction,
        )
        self.phase: TrafficPhase = "ordinary"
        self.phase_since: dict[str, float] = {}
        self.started = time.time()
        self.history_done = False
        self.stopping = False

    async def run(self) -> None:
        """Run until phase ``stop`` or the time limit."""
        sending = asyncio.create_task(self.clients.run())
        self.send_history()
        self.phase_since["ordinary"] = time.time()
        due = time.time()
        written = 0.0
        while not self.stopping and time.time() < self.started + self.config.max_seconds:
            now = time.time()
            self.apply_control(now)
            while due <= now and not self.stopping:
                self.sender.send(self.phase, now)
                due += 1.0 / self.config.events_per_second
            self.sender.send_labels(now)
            self.sender.producer.poll(0)
            if now - written >= STATUS_SECONDS:
                self.write_status(finished=False)
                written = now
            await asyncio.sleep(LOOP_SECONDS)
        await self.clients.drain()
        sending.cancel()
        self.sender.finish(FLUSH_SECONDS)
        self.write_status(finished=True)

    def send_history(self) -> None:
        """Send the past events and their labels, in order of event time."""
        now = time.time()
        rows, seconds = self.config.history_rows, self.config.history_seconds
        for number in range(rows):
            at = now - seconds + seconds * number / rows
            self.sender.send("ordinary", at, label_at=now)
            if number % 500 == 0:
                self.sender.producer.poll(0)
        self.sender.send_labels(now)
        self.sender.producer.flush(FLUSH_SECONDS)
        self.history_done = True

    def apply_control(self, now: float) -> None:
        """Apply the desired state of the control file."""
        desired = control.read(control.control_file(self.folder), Control) or Control()
        can_predict = self.config.predictions_per_second > 0 and bool(self.sender.samples)
        self.clients.sending = desired.predict and can_predict
        self.sender.new_column = desired.new_column
        if desired.phase != self.phase:
            self.phase = desired.phase
            self.phase_since[desired.phase] = now
        self.stopping = self.stopping or desired.phase == "stop"

    def write_status(self, *, finished: bool) -> None:
        """Replace the status file and append the complete seconds."""
        now = time.time()
        sender, counter = self.sender, self.clients.counter
        complete = counter.pop_complete(float("inf") if finished else now - TIMEOUT_SECONDS - 1)
        if complete:
            with control.seconds_file(self.folder).open("ab") as lines:
                lines.writelines(msgspec.json.encode(second) + b"\n" for second in complete)
        status = TrafficStatus(
            at=now,
            phase=self.phase,
            phase_since=dict(self.phase_since),
            sent=sender.sent,
            failed=sender.failed,
            broken=sender.broken,
            labels=sender.labels,
            predictions=sender.predictions,
            history_done=self.history_done,
            finished=finished,
            requests=counter.requests,
            errors=counter.errors,
            first_error=counter.first_error,
            cpu_seconds=time.process_time(),
            wall_seconds=now - self.started,
        )
        control.write(control.status_file(self.folder), status)

    def _next_request(self) -> PredictRequest:
        """The newest request that was not sent yet; the last one again where there is none."""
        samples = self.sender.samples
        return samples.pop() if len(samples) > 1 else samples[0]


def writer_of(config: TrafficConfig) -> EventWriter | None:
    """What writes the events; None for flat JSON. An Avro schema is registered here."""
    contract = config.written_as
    if contract is None:
        return None
    if config.registry is None:
        return EventWriter(contract)
    subject = f"{config.events_topic}-value"
    return EventWriter(contract, register(config.registry, subject, schema_text(contract)))


def export(traffic: Traffic, port: int) -> None:
    """Serve the counters to Prometheus; values are read at each scrape."""
    from prometheus_client import start_http_server
    from prometheus_client.core import REGISTRY, CounterMetricFamily
    from prometheus_client.registry import Collector

    class Counters(Collector):
        """The traffic's counts under the names of `METRICS`."""

        def collect(self) -> list[CounterMetricFamily]:
            counter, sender = traffic.clients.counter, traffic.sender
            values = (sender.sent, sender.labels, counter.requests, counter.errors)
            return [
                CounterMetricFamily(name, description, value=value)
                for (name, description), value in zip(METRICS, values, strict=True)
            ]

    REGISTRY.register(Counters())
    start_http_server(port, addr="127.0.0.1")


METRICS: tuple[tuple[str, str], ...] = (
    ("driftline_demo_events", "Events the broker acknowledged."),
    ("driftline_demo_labels", "Labels the broker acknowledged."),
    ("driftline_demo_requests", "Prediction requests of the clients."),
    ("driftline_demo_errors", "Prediction requests without a good response."),
)


def main() -> None:
    """Run from a configuration file."""
    from confluent_kafka import Producer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    file: Path = parser.parse_args().config
    config = msgspec.json.decode(file.read_bytes(), type=TrafficConfig)
    producer = Producer(
        {
            "bootstrap.servers": config.bootstrap,
            "enable.idempotence": True,
            "linger.ms": 50,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "message.timeout.ms": 120_000,
            # below the stream job's idle timeout: what was held back while the broker was away
            # arrives before its partition counts as idle
            "reconnect.backoff.max.ms": 1_000,
        }
    )
    replay = read_trips(Path(config.data)) if config.data else None
    source = Source(config.seed, replay)
    traffic = Traffic(config, Sender(config, producer, source, writer_of(config)))

    def stop(_signal: int, _frame: object) -> None:
        traffic.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner handles Ctrl-C
    if config.metrics_port:
        export(traffic, config.metrics_port)
    asyncio.run(traffic.run())


if __name__ == "__main__":
    main()
