"""The condition of a Kafka cluster's partitions, from its metadata."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streaming.contracts.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class PartitionHealth:
    """How many partitions of all topics cannot be used, or have too few copies."""

    offline: int
    """Partitions without a leader."""
    under_replicated: int
    """Partitions of which a copy is missing or behind."""


class PartitionWatch:
    """Asks one cluster for its metadata, again and again, through one client.

    Parameters
    ----------
    bootstrap:
        Addresses of the brokers.
    """

    def __init__(self, bootstrap: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})

    def look(self, timeout: float = 3.0) -> PartitionHealth:
        """The condition now; raises `UnavailableError` when no broker answers in time."""
        try:
            topics = self._admin.list_topics(timeout=timeout).topics.values()
        except KafkaException as error:
            raise UnavailableError(f"Kafka does not tell its partitions: {error}.") from error
        partitions = [part for topic in topics for part in topic.partitions.values()]
        return PartitionHealth(
            offline=sum(part.leader < 0 for part in partitions),
            under_replicated=sum(len(part.isrs) < len(part.replicas) for part in partitions),
        )
