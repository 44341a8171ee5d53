"""The request queue as a consumer group of kafka-python.

One member of the group owns the topic's partition and with it the request; the others stand by.
kafka-python's heartbeat thread keeps the membership alive, so a worker may train for hours between
two polls. A killed worker loses its membership after the session time-out, and the next member
starts from the committed offset, which is the unfinished request. Offsets are committed
explicitly, after the outcome is durable.
"""

from __future__ import annotations

import structlog
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    UnknownMemberIdError,
    UnsupportedCodecError,
)

from streaming.contracts.codec import decode_as
from streaming.contracts.errors import ConfigurationError, DecodeError, UnavailableError
from streaming.contracts.records import RetrainRequest
from streaming.contracts.topics import RETRAIN_REQUESTS

GROUP = "driftline-workers"
"""Consumer group of the retrain workers."""

log = structlog.get_logger()


class KafkaRequestQueue:
    """`RequestQueue` on the topic ``retrain-requests``.

    Parameters
    ----------
    bootstrap:
        ``host:port`` of Kafka, several separated by commas.
    session_seconds:
        Time without a heartbeat after which a worker counts as dead.
    max_request_seconds:
        Maximum time for one request; afterwards another worker gets it.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        group: str = GROUP,
        topic: str = RETRAIN_REQUESTS.name,
        session_seconds: float = 10.0,
        max_request_seconds: float = 24 * 3600.0,
    ) -> None:
        self._held: tuple[RetrainRequest, TopicPartition, int] | None = None
        try:
            self._consumer = KafkaConsumer(
                topic,
                bootstrap_servers=bootstrap.split(","),
                client_id="driftline-worker",
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                max_poll_records=1,
                session_timeout_ms=int(session_seconds * 1000),
                heartbeat_interval_ms=int(session_seconds * 1000 / 4),
                max_poll_interval_ms=int(max_request_seconds * 1000),
            )
        except KafkaError as error:
            raise UnavailableError(
                f"Kafka at {bootstrap} is not reachable: {error}.", delay_seconds=2.0
            ) from error

    def take(self, timeout_seconds: float) -> RetrainRequest | None:
        """The next request, or the one that is still held.

        Raises
        ------
        UnavailableError
            When Kafka cannot be reached.
        ConfigurationError
            When the requests are compressed in a way that kafka-python cannot read.
        """
        if self._held is not None:
            if self._held[1] in self._consumer.assignment():
                return self._held[0]
            self._held = None
        try:
            batches = self._consumer.poll(timeout_ms=int(timeout_seconds * 1000), max_records=1)
        except UnsupportedCodecError as error:
            raise ConfigurationError(
                f"The requests are compressed in a way that kafka-python cannot read ({error}); "
                "configure their producer to use gzip."
            ) from error
        except KafkaError as error:
            raise UnavailableError(
                f"Kafka is not reachable: {error}.", delay_seconds=2.0
            ) from error
        for partition, messages in batches.items():
            for message in messages:
                try:
                    request = decode_as(message.value or b"", RetrainRequest)
                except DecodeError as error:
                    log.warning("queue.invalid_request", offset=message.offset, reason=str(error))
                    self._commit(partition, message.offset)
                    continue
                self._held = (request, partition, message.offset)
                return request
        return None

    def done(self, request: RetrainRequest) -> bool:
        """Commit the held request; False when another worker has taken it over."""
        if self._held is None or self._held[0].record_id != request.record_id:
            return False
        committed = self._commit(self._held[1], self._held[2])
        self._held = None  # only now: if Kafka did not answer, the request is still not done
        return committed

    def close(self) -> None:
        """Leave the group; a request that is not done goes to another worker at once."""
        self._held = None
        self._consumer.close(autocommit=False)

    def _commit(self, partition: TopicPartition, offset: int) -> bool:
        try:
            self._consumer.commit({partition: OffsetAndMetadata(offset + 1, "", -1)})
        except (CommitFailedError, IllegalGenerationError, UnknownMemberIdError) as error:
            log.warning("queue.request_lost", offset=offset, reason=str(error))
            return False
        except KafkaError as error:
            raise UnavailableError(
                f"Kafka is not reachable: {error}.", delay_seconds=2.0
            ) from error
        return True
