"""The stream job against the same pipeline that reads single records with Beam's KafkaIO.

They run one after the other on one Flink, each with its own topic and rounds of about the same
duration. The CPU seconds of the TaskManager, of the Java harness that runs KafkaIO, and of the
Python workers count.
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
from streaming.engines.flink.client import Flink
from streaming.engines.kafka.log import KafkaLog
from streaming.job.submit import submit
from tests.bench import kafkaio_pipeline
from tests.bench.feeding import EventFeed
from tests.bench.figures import Ratio, Round, ratio
from tests.bench.job_stack import job_settings, job_stack
from tests.bench.kafkaio_pipeline import ReadMode
from tests.bench.kafkaio_stack import EMBEDDED, NATIVE, SHIPPED, expansion_port
from tests.bench.stream import CONTRACT

PORT_OFFSET = 3900
NAMES: dict[ReadMode, str] = {
    "shipped": "KafkaIO as Beam ships it, record by record",
    "embedded": "KafkaIO inside the TaskManager, record by record",
    "native": "KafkaIO at its best, Flink's native read and columns",
}
SHORTER = 3
"""Factor by which KafkaIO's rounds have fewer events; they last about as long. KafkaIO reads all
available records in one bundle, and with bundles of 300,000 records it hung."""
EXPANSIONS: dict[ReadMode, str] = {"shipped": SHIPPED, "embedded": EMBEDDED, "native": NATIVE}


class KafkaIOBench:
    """The stream job, then each mode of reading with KafkaIO."""

    def __init__(self, home: Path, *, rounds: int, events: int) -> None:
        self.home = home
        self.rounds = rounds
        self.events = events
        self.ports = PortMap().shifted(PORT_OFFSET)
        self.bootstrap = f"{HOST}:{self.ports.kafka}"

    def run(self) -> tuple[Ratio, ...]:
        """Run all measurements; the stack is stopped afterwards."""
        with job_stack(self.home, self.ports, kafkaio=True) as stack:
            log = KafkaLog(self.bootstrap)
            ours = self._rounds(stack, log, None)
            ratios = tuple(
                ratio(
                    f"stream job against {name.split(',')[0]}",
                    ours,
                    self._rounds(stack, log, mode),
                    work=f"events of {len(CONTRACT.features)} fields to verdicts",
                    unit="events/s per core",
                    comparison_name=name,
                    comparison_version=f"Beam {apache_beam.__version__}",
                )
                for mode, name in NAMES.items()
            )
            log.close()
        return ratios

    def _rounds(self, stack: Stack, log: KafkaLog, mode: ReadMode | None) -> list[Round]:
        name = mode or "ours"
        contract = replace(CONTRACT, model=f"by-{name}", events_topic=f"bench.{name}")
        log.ensure([*topics.RECORD_TOPICS, applications_topic(contract.events_topic, partitions=1)])
        settings = dataclasses.replace(
            job_settings(self.home, self.ports, contract),
            # Rounds lie in the past, so idleness must not close windows.
            idle_timeout_seconds=86_400.0,
        )
        feed = EventFeed(
            self.bootstrap,
            contract,
            rounds=self.rounds,
            events=self.events if mode is None else self.events // SHORTER,
            transactional=mode is None,
        )
        payload = feed.payload(
            0
        )  # before the job starts, so that KafkaIO need not wait long for its first record
        if mode is None:
            job = submit(settings)
        else:
            job = kafkaio_pipeline.start(
                settings, f"{HOST}:{expansion_port(self.ports, EXPANSIONS[mode])}", mode
            )
        messages_read = log.follow([topics.WINDOW_STATISTICS.name], from_start=True)
        rounds = [feed.round(stack, messages_read, payload, 0)]
        for number in range(1, self.rounds + 1):
            rounds.append(feed.round(stack, messages_read, feed.payload(number), number))
        Flink(settings.flink_rest).cancel(job)
        return rounds[1:]
