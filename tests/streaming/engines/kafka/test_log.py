"""What only the log on Kafka meets: a partition whose leader is still being elected."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streaming.contracts.errors import UnavailableError
from streaming.contracts.topics import applications_topic
from streaming.engines.kafka.log import KafkaLog

pytestmark = pytest.mark.engine

OF_AN_ELECTION = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)


class Electing:
    """The broker's answers, after the `codes` that a broker gives while it elects."""

    def __init__(self, asker: Any) -> None:
        self._asker = asker
        self.codes: list[int] = []

    def get_watermark_offsets(self, *place: Any, **options: Any) -> Any:
        """Where a partition begins and ends."""
        self._elect()
        return self._asker.get_watermark_offsets(*place, **options)

    def offsets_for_times(self, install_paths: Any, **options: Any) -> Any:
        """Each place's first offset since its time, or the partition's own error."""
        self._elect()
        return self._asker.offsets_for_times(install_paths, **options)

    def close(self) -> None:
        """The real one's."""
        self._asker.close()

    def _elect(self) -> None:
        if self.codes:
            raise KafkaException(KafkaError(self.codes.pop()))


def electing(bootstrap: str) -> tuple[KafkaLog, Electing]:
    """A log, and who answers it when it asks for offsets."""
    log = KafkaLog(bootstrap)
    asker = Electing(log._asker)
    log.__dict__["_asker"] = asker
    return log, asker


@pytest.mark.parametrize("since", [None, 1.0])
def test_an_election_is_waited_for(broker: Any, since: float | None) -> None:
    log, asker = electing(broker.bootstrap)
    topic = applications_topic(f"elected-{uuid.uuid4().hex[:8]}", partitions=1)
    log.ensure([topic])
    log.append_raw(topic.name, [(None, b"a"), (None, b"b")])
    asker.codes.extend(OF_AN_ELECTION)
    (span,) = log.spans(topic.name, since=since)
    assert (span.start, span.stop) == (0, 2)
    assert not asker.codes
    log.close()


def test_another_trouble_is_told_at_once(broker: Any) -> None:
    log, asker = electing(broker.bootstrap)
    topic = applications_topic(f"refused-{uuid.uuid4().hex[:8]}", partitions=1)
    log.ensure([topic])
    asker.codes.extend([KafkaError.TOPIC_AUTHORIZATION_FAILED] * 2)
    with pytest.raises(UnavailableError):
        log.spans(topic.name)
    assert len(asker.codes) == 1
    log.close()
