"""The producer of a replay."""

from __future__ import annotations

from deploy.demo.sender import Producer


def make_producer(bootstrap: str) -> Producer:
    """An idempotent producer: a retry never duplicates a message."""
    from confluent_kafka import Producer as KafkaProducer

    producer: Producer = KafkaProducer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 50,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "message.timeout.ms": 300_000,  # `BrokerWait` decides earlier
            "reconnect.backoff.max.ms": 1_000,
            "log_level": 2,  # `BrokerWait` says in a line what the library says in hundreds
        }
    )
    return producer
