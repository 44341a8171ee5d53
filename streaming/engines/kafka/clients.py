"""Kafka producers and consumers with Driftline's settings, and the errors of their requests."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException, Producer

from streaming.contracts.codec import LARGEST_RECORD_BYTES
from streaming.contracts.errors import NotFoundError, UnavailableError
from streaming.contracts.raw_record import Headers

MAX_MESSAGE_BYTES = LARGEST_RECORD_BYTES + 64 * 1024
"""The longest record that the codec reads, and room for the message's header."""


def producer(bootstrap: str) -> Producer:
    """A producer with durable writes: all replicas, no duplicates from its own retries.

    The library's own log is restricted to critical errors; other errors are raised here.
    """
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            # gzip: the codec that every client can read (kafka-python and aiokafka have no lz4)
            "compression.type": "gzip",
            "log_level": 2,
        }
    )


def produce(
    writer: Producer,
    topic: str,
    key: bytes | None,
    value: bytes,
    delivered: Callable[[KafkaError | None, object], None],
    headers: Headers = (),
) -> None:
    """Queue one message; waits while the producer's queue is full.

    Parameters
    ----------
    delivered:
        Called with the error, or None, once the broker has acknowledged or refused the message.
    """
    while True:
        try:
            writer.produce(topic, value, key, on_delivery=delivered, headers=list(headers))
            writer.poll(0)
            return
        except BufferError:
            writer.poll(0.1)


def consumer_settings(bootstrap: str) -> dict[str, object]:
    """Settings of a consumer that is assigned its partitions and commits no offsets.

    The library's own log is restricted to critical errors; other errors arrive as messages.
    """
    return {
        "bootstrap.servers": bootstrap,
        "group.id": f"driftline-{uuid.uuid4().hex}",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "allow.auto.create.topics": False,
        "fetch.wait.max.ms": 100,
        "fetch.message.max.bytes": 2 * 1024 * 1024,
        "queued.max.messages.kbytes": 16 * 1024,
        # a full queue is checked again after this time; with the default, a second, the reader of a
        # backlog would wait although 40,000 records are available
        "fetch.queue.backoff.ms": 10,
        "reconnect.backoff.ms": 500,
        "log_level": 2,
    }


_CONNECT_TIMEOUT = 1.0
NO_RESPONSE = (
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
)
"""Errors of a request that no broker answered in time."""


def accepting_address(bootstrap: str, seconds: float) -> str | None:
    """The first ``host:port`` that accepts a connection within this time; None if none does.

    Parameters
    ----------
    bootstrap:
        ``host:port`` of a broker, or several with commas.
    """
    addresses = bootstrap.split(",")
    for address in addresses:
        host, _, port = address.strip().rpartition(":")
        try:
            endpoint = (host.strip("[]"), int(port))
            socket.create_connection(endpoint, timeout=seconds / len(addresses)).close()
        except (OSError, ValueError):
            continue
        return address.strip()
    return None


def no_response(address: str) -> UnavailableError:
    """The error for an address that accepts connections but does not respond like a broker."""
    return UnavailableError(
        f"A program answers at {address} that is not Kafka, or Kafka hangs: it accepts connections "
        "and does not respond to Kafka's requests. `driftline status` shows what is running; "
        "`kafka.bootstrap` names another Kafka."
    )


def unavailable(bootstrap: str) -> UnavailableError:
    """The error for a Kafka that cannot be reached."""
    return UnavailableError(
        f"Kafka at {bootstrap} cannot be reached: no broker accepts a connection. `driftline "
        "status` shows what is running; `driftline up` starts the embedded Kafka; "
        "`kafka.bootstrap` names another."
    )


def raise_permanent(error: KafkaError) -> None:
    """Raise an error that a retry does not help; the client itself restores connections."""
    if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise NotFoundError(f"Kafka has no such topic or partition: {error.str()}.")
    if error.fatal():
        raise UnavailableError(f"Kafka's client failed: {error.str()}.")


def translated(error: KafkaException, bootstrap: str) -> Exception:
    """Driftline's error for Kafka's."""
    cause = error.args[0]
    if cause.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
        return NotFoundError(f"Kafka at {bootstrap} has no such topic or partition.")
    if cause.code() in NO_RESPONSE:
        address = accepting_address(bootstrap, _CONNECT_TIMEOUT)
        return unavailable(bootstrap) if address is None else no_response(address)
    return UnavailableError(
        f"Kafka at {bootstrap} refused the request with the error {cause.name()}."
    )


def has_no_leader(error: BaseException) -> bool:
    """Whether a new topic, or a broker that has just started, has no leader yet."""
    return isinstance(error, KafkaException) and error.args[0].code() in (
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
    )
