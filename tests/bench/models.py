"""``python -m tests.bench --only models``: many models in one stream job.

Each model has a topic of its own, a reference, and windows of half a minute; all are judged by
one job with one Python worker. Measured are the CPU of that worker and of the TaskManager, the time
from the end of a window to its verdict, and repeatedly the state in Flink's checkpoints, because a
bounded state stops growing.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Producer

from deploy.config.port_map import PortMap
from deploy.local.stack import Stack
from streaming.contracts import topics
from streaming.contracts.codec import decode
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import DriftVerdict
from streaming.contracts.topics import applications_topic
from streaming.engines.artifact_store import ArtifactStore
from streaming.engines.flink.client import Flink
from streaming.engines.kafka.log import KafkaLog
from streaming.job.submit import submit
from tests.background import Background
from tests.bench.figures import ManyModels, spread
from tests.bench.job_stack import job_cpu, job_settings, job_stack
from tests.promotions import promote_each

PORT_OFFSET = 3300
WINDOW, MAX_OUT_OF_ORDERNESS = 30.0, 1.0
NUMBERS, CATEGORIES = 14, 6
SETTLE_SECONDS = 400.0


def contract(number: int) -> ModelContract:
    """One of the models: 14 numbers and 6 categories."""
    name = f"model-{number:03d}"
    return ModelContract(
        model=name,
        module="",
        events_topic=f"{name}.events",
        labels_topic=f"{name}.labels",
        key="id",
        time="at",
        partitions=1,
        window_seconds=WINDOW,
        max_out_of_orderness_seconds=MAX_OUT_OF_ORDERNESS,
        features=(
            *(FeatureSpec(name=f"n{i}", kind="number") for i in range(NUMBERS)),
            *(FeatureSpec(name=f"c{i}", kind="text", categorical=True) for i in range(CATEGORIES)),
        ),
    )


@dataclass
class Traffic(Background):
    """The same number of events per second to every topic."""

    bootstrap: str
    names: list[str]
    rate: float
    """Events per second of each topic."""
    sent: int = 0

    def work(self) -> None:
        """Send until stopped, and until everything is acknowledged."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 100})
        rng, began = random.Random(1), time.time()
        bodies = [body(rng) for _ in range(2000)]
        while not self.stopped:
            due = int((time.time() - began) * self.rate * len(self.names))
            now = time.time()
            for number in range(self.sent, due):
                name = self.names[number % len(self.names)]
                value = b'{"at":%f,%s' % (now, bodies[rng.randrange(len(bodies))])
                producer.produce(name, value)
            self.sent = max(due, self.sent)
            producer.poll(0)
            time.sleep(0.05)
        producer.flush(60)


def body(rng: random.Random) -> bytes:
    """The part of an event after its time."""
    fields = [f'"n{i}":{rng.gauss(10, 2):.4f}' for i in range(NUMBERS)]
    fields += [f'"c{i}":"{rng.choice("abcdefgh")}"' for i in range(CATEGORIES)]
    return (f'"id":"{rng.random():.12f}",' + ",".join(fields) + "}").encode()


class ModelsBench:
    """One job of many models under steady traffic."""

    def __init__(self, home: Path, *, models: int, rate: float, windows: int) -> None:
        self.contracts = [contract(number) for number in range(models)]
        self.rate = rate
        self.windows = windows
        self.ports = PortMap().shifted(PORT_OFFSET)
        self.home = home
        self.settings = job_settings(home, self.ports, *self.contracts, group="many")

    def run(self) -> ManyModels:
        """Traffic, references after two windows, then `windows` windows that are measured."""
        with job_stack(self.home, self.ports) as stack:
            log = KafkaLog(self.settings.bootstrap)
            names = [contract.events_topic for contract in self.contracts]
            log.ensure(
                [*topics.RECORD_TOPICS, *(applications_topic(n, partitions=1) for n in names)]
            )
            job = submit(self.settings)
            traffic = Traffic(self.settings.bootstrap, names, self.rate)
            traffic.start()
            try:
                store = ArtifactStore(Path(self.settings.artifact_root))
                promote_each(log, store, {contract.model for contract in self.contracts})
                self._settle(log)
                return self._measure(stack, log, job, traffic)
            finally:
                traffic.stop()

    def _settle(self, log: KafkaLog) -> None:
        """Wait until every model was judged in time.

        A new reference is prepared once, and two hundred of them keep the worker busy for minutes.
        """
        models, until = len(self.contracts), time.time() + SETTLE_SECONDS
        prompt = dict[str, float]()
        for message in log.follow([topics.DRIFT_VERDICTS.name], from_start=True):
            if len(prompt) == models or time.time() > until:
                return
            record = decode(message.value) if message and message.value else None
            if not (isinstance(record, DriftVerdict) and message):
                continue
            if record.outcome != "inconclusive" and message.time - record.window_end < WINDOW / 2:
                prompt[record.model] = message.time

    def _measure(self, stack: Stack, log: KafkaLog, job: str, traffic: Traffic) -> ManyModels:
        flink = Flink(self.settings.flink_rest)
        wall, cpu, sent, began = time.time(), job_cpu(stack), traffic.sent, time.time()
        until = began + WINDOW * self.windows
        delays: list[float] = []
        judged, inconclusive, states = 0, 0, [flink.status(job).state_bytes]
        for message in log.follow([topics.DRIFT_VERDICTS.name], from_start=True):
            if time.time() > until:
                break
            if time.time() > began + WINDOW:
                began += WINDOW
                states.append(flink.status(job).state_bytes)
            record = decode(message.value) if message and message.value else None
            if isinstance(record, DriftVerdict) and message and message.time > wall:
                delays.append(message.time - record.window_end - MAX_OUT_OF_ORDERNESS)
                judged += record.outcome != "inconclusive"
                inconclusive += record.outcome == "inconclusive"
        seconds = time.time() - wall
        return ManyModels(
            models=len(self.contracts),
            features=NUMBERS + CATEGORIES,
            events_per_second=(traffic.sent - sent) / seconds,
            cores=(job_cpu(stack) - cpu) / seconds,
            judged=judged,
            inconclusive=inconclusive,
            delay=spread("end of a window and its out-of-orderness to its verdict", delays),
            state_bytes_per_model=tuple(round(size / len(self.contracts)) for size in states),
        )
