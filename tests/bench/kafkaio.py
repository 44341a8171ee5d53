"""The stream job against the same pipeline that reads with Beam's KafkaIO, record by record.

One after the other on one Flink, each with its own topic and rounds of about the same length; CPU
seconds of the TaskManager, of the Java harness that runs KafkaIO, and of the Python workers count.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import apache_beam
from msgspec.structs import replace

from deploy.config.port_map import HOST, PortMap
from deploy.local.stack import Stack
from streaming.contracts import topics
from streaming.contracts.topics import applications_topic
from streaming.engines.flink import client
from streaming.engines.kafka.log import KafkaLog
from tests.bench import one_by_one
from tests.bench.feeding import Feed
from tests.bench.figures import Ratio, Round, ratio
from tests.bench.job_stack import job_settings, job_stack
from tests.bench.kafkaio_stack import INSIDE, NATIVE, SHIPPED, expansion_port
from tests.bench.one_by_one import Way
from tests.bench.stream import CONTRACT

PORT_OFFSET = 3900
NAMES: dict[Way, str] = {
    "shipped": "KafkaIO as Beam ships it, record by record",
    "inside": "KafkaIO inside the TaskManager, record by record",
    "best": "KafkaIO at its best, Flink's native read and columns",
}
SHORTER = 3
"""Its rounds are so much shorter, and last about as long: KafkaIO reads what there is in one
bundle, and in bundles of 300,000 records it stood still for good."""
EXPANSIONS: dict[Way, str] = {"shipped": SHIPPED, "inside": INSIDE, "best": NATIVE}


class KafkaIOBench:
    """Ours, then each way of reading with KafkaIO."""

    def __init__(self, home: Path, *, rounds: int, events: int) -> None:
        self.home = home
        self.rounds = rounds
        self.events = events
        self.ports = PortMap().shifted(PORT_OFFSET)
        self.bootstrap = f"{HOST}:{self.ports.kafka}"

    def run(self) -> tuple[Ratio, ...]:
        """All of it; the stack is stopped afterwards."""
        with job_stack(self.home, self.ports, kafkaio=True) as stack:
            log = KafkaLog(self.bootstrap)
            ours = self._rounds(stack, log, None)
            ratios = tuple(
                ratio(
                    f"stream job against {name.split(',')[0]}",
                    ours,
                    self._rounds(stack, log, way),
                    work=f"events of {len(CONTRACT.features)} fields to verdicts",
                    unit="events/s per core",
                    peer_name=name,
                    peer_version=f"Beam {apache_beam.__version__}",
                )
                for way, name in NAMES.items()
            )
            log.close()
        return ratios

    def _rounds(self, stack: Stack, log: KafkaLog, way: Way | None) -> list[Round]:
        name = way or "ours"
        contract = replace(CONTRACT, model=f"by-{name}", events_topic=f"bench.{name}")
        log.ensure([*topics.RECORD_TOPICS, applications_topic(contract.events_topic, partitions=1)])
        settings = dataclasses.replace(
            job_settings(self.home, self.ports, contract),
            idle_seconds=86_400.0,  # rounds lie in the past: silence must not close windows
        )
        feed = Feed(
            self.bootstrap,
            contract,
            rounds=self.rounds,
            events=self.events if way is None else self.events // SHORTER,
            whole=way is None,
        )
        payload = feed.payload(0)  # KafkaIO had better not wait long for its first record
        if way is None:
            job = client.submit(settings)
        else:
            job = one_by_one.start(
                settings, f"{HOST}:{expansion_port(self.ports, EXPANSIONS[way])}", way
            )
        told = log.follow([topics.WINDOW_STATISTICS.name], from_start=True)
        made = [feed.round(stack, told, payload, 0)]
        for number in range(1, self.rounds + 1):
            made.append(feed.round(stack, told, feed.payload(number), number))
        client.Flink(settings.flink_rest).cancel(job)
        return made[1:]
