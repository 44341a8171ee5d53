"""Sends the poison corpus to real topics: by every codec, in transactions, with odd timestamps."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streaming.engines.kafka.clients import MAX_MESSAGE_BYTES
from tests.streaming.poison.corpus import Poison

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
_ANY_TIME = str(2**63 - 1)


def create_topic(bootstrap: str, name: str, partitions: int, **config: str) -> None:
    """A topic that takes large messages and any timestamp; `config` has more of its settings."""
    settings = {
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "message.timestamp.after.max.ms": _ANY_TIME,
        **{key.replace("_", "."): value for key, value in config.items()},
    }
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=settings)
    admin.create_topics([topic])[name].result(30)


@dataclass
class PoisonSender:
    """Sends records of the corpus and keeps the position that the broker gave to each."""

    bootstrap: str
    topic: str
    partitions: int
    sent: dict[tuple[int, int], Poison] = field(default_factory=dict)
    """Partition and offset -> record."""
    failed: list[str] = field(default_factory=list)

    def send(self, records: Sequence[Poison]) -> None:
        """Send each record once, by the producer of one of the codecs; durable on return."""
        for number, codec in enumerate(CODECS):
            producer = self._producer({"compression.type": codec})
            self._produce(producer, records[number :: len(CODECS)])
            self._flush(producer)

    def send_in_transactions(self, records: Sequence[Poison]) -> None:
        """Send the records in a transaction, after one that sends them and is aborted."""
        producer = self._producer({"transactional.id": uuid.uuid4().hex})
        producer.init_transactions(30)
        for commits in (False, True):
            producer.begin_transaction()
            kept = dict(self.sent)
            self._produce(producer, records)
            self._flush(producer)
            if commits:
                producer.commit_transaction(30)
            else:
                producer.abort_transaction(30)
                self.sent = kept  # no reader is given these

    def _producer(self, settings: dict[str, str]) -> Any:
        return Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 20,
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "log_level": 2,
                **settings,
            }
        )

    def _produce(self, producer: Any, records: Iterable[Poison]) -> None:
        for number, poison in enumerate(records):
            stamp = {} if poison.timestamp_ms is None else {"timestamp": poison.timestamp_ms}
            producer.produce(
                self.topic,
                poison.value,
                poison.key,
                partition=number % self.partitions,
                headers=list(poison.headers),
                on_delivery=self._acknowledged(poison),
                **stamp,
            )
            producer.poll(0)

    def _acknowledged(self, poison: Poison) -> Any:
        def acknowledged(error: Any, message: Any) -> None:
            if error is not None:
                self.failed.append(f"{poison.name}: {error}")
            else:
                self.sent[message.partition(), message.offset()] = poison

        return acknowledged

    def _flush(self, producer: Any) -> None:
        assert producer.flush(60) == 0, "some records were never acknowledged"
        assert not self.failed, self.failed
