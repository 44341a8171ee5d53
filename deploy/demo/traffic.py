"""The traffic of the demonstration: one process, ``python -m deploy.demo.traffic --config FILE``.

Open loop: events, labels and predictions leave on time whatever the stack does. It obeys the
control file, writes its status twice a second and one line for each second of client traffic,
and ends on the phase ``stop`` or after `TrafficConfig.longest_seconds`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from pathlib import Path

import msgspec

from deploy.demo import control
from deploy.demo.clients import GIVE_UP_SECONDS, Ask, Clients
from deploy.demo.control import Control, Phase, TrafficConfig, TrafficStatus
from deploy.demo.replay import read_trips
from deploy.demo.sender import Sender, Source

TICK_SECONDS = 0.05
STATUS_SECONDS = 0.5
FLUSH_SECONDS = 30.0


class Traffic:
    """Paces everything on one event loop."""

    def __init__(self, config: TrafficConfig, sender: Sender) -> None:
        self.config = config
        self.folder = Path(config.folder)
        self.sender = sender
        self.clients = Clients(
            f"{config.envoy}/v1/models/{config.model}:predict",
            max(config.predictions_per_second, 0.001),
            self._ask,
            config.users,
            sender.send_prediction,
        )
        self.phase: Phase = "ordinary"
        self.phase_since: dict[str, float] = {}
        self.started = time.time()
        self.history_done = False
        self.stopping = False

    async def run(self) -> None:
        """Until told to stop."""
        asking = asyncio.create_task(self.clients.run())
        self.send_history()
        self.phase_since["ordinary"] = time.time()
        due = time.time()
        written = 0.0
        while not self.stopping and time.time() < self.started + self.config.longest_seconds:
            now = time.time()
            self.obey(now)
            while due <= now and not self.stopping:
                self.sender.send(self.phase, now)
                due += 1.0 / self.config.events_per_second
            self.sender.send_labels(now)
            self.sender.producer.poll(0)
            if now - written >= STATUS_SECONDS:
                self.write_status(finished=False)
                written = now
            await asyncio.sleep(TICK_SECONDS)
        await self.clients.drain()
        asking.cancel()
        self.sender.finish(FLUSH_SECONDS)
        self.write_status(finished=True)

    def send_history(self) -> None:
        """The burst of past events with their labels, in order of event time."""
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

    def obey(self, now: float) -> None:
        """Do what the control file says."""
        wanted = control.read(control.control_file(self.folder), Control) or Control()
        able = self.config.predictions_per_second > 0 and bool(self.sender.samples)
        self.clients.asking = wanted.predict and able
        self.sender.new_column = wanted.new_column
        if wanted.phase != self.phase:
            self.phase = wanted.phase
            self.phase_since[wanted.phase] = now
        self.stopping = self.stopping or wanted.phase == "stop"

    def write_status(self, *, finished: bool) -> None:
        """Replace the status file, and append the seconds that are over."""
        now = time.time()
        sender, tally = self.sender, self.clients.tally
        over = tally.closed(float("inf") if finished else now - GIVE_UP_SECONDS - 1)
        if over:
            with control.seconds_file(self.folder).open("ab") as lines:
                lines.writelines(msgspec.json.encode(second) + b"\n" for second in over)
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
            requests=tally.requests,
            errors=tally.errors,
            first_error=tally.first_error,
            cpu_seconds=time.process_time(),
            wall_seconds=now - self.started,
        )
        control.write(control.status_file(self.folder), status)

    def _ask(self) -> Ask:
        """The newest trip that nobody has asked about; the last one again where there is none."""
        samples = self.sender.samples
        return samples.pop() if len(samples) > 1 else samples[0]


def export(traffic: Traffic, port: int) -> None:
    """Serve the counters to Prometheus; values are read when asked."""
    from prometheus_client import start_http_server
    from prometheus_client.core import REGISTRY, CounterMetricFamily
    from prometheus_client.registry import Collector

    class Counters(Collector):
        """The traffic's counts under the names of `METRICS`."""

        def collect(self) -> list[CounterMetricFamily]:
            tally, sender = traffic.clients.tally, traffic.sender
            values = (sender.sent, sender.labels, tally.requests, tally.errors)
            return [
                CounterMetricFamily(name, meaning, value=value)
                for (name, meaning), value in zip(METRICS, values, strict=True)
            ]

    REGISTRY.register(Counters())
    start_http_server(port, addr="127.0.0.1")


METRICS: tuple[tuple[str, str], ...] = (
    ("driftline_demo_events", "Events the broker acknowledged."),
    ("driftline_demo_labels", "Labels the broker acknowledged."),
    ("driftline_demo_requests", "Predictions the clients asked for."),
    ("driftline_demo_errors", "Predictions that gave the client no good answer."),
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
        }
    )
    replay = read_trips(Path(config.data)) if config.data else None
    traffic = Traffic(config, Sender(config, producer, Source(config.seed, replay)))

    def leave(_signal: int, _frame: object) -> None:
        traffic.stopping = True

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's to handle
    if config.metrics_port:
        export(traffic, config.metrics_port)
    asyncio.run(traffic.run())


if __name__ == "__main__":
    main()
